"""Clients of the log, all with one size rule.

Everything here speaks the Kafka protocol: it cannot tell the embedded log from Apache Kafka.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from postcall.errors import LogUnavailable
from postcall.log_connection import LogConnection
from postcall.log_diagnosis import explain_failure
from postcall.records import NewRecord, Record
from postcall.topics import MAX_RECORD_BYTES

# It logs whole requests at this level, and one of them holds the password.
logging.getLogger("aiokafka.conn").addFilter(lambda record: record.levelno > logging.DEBUG)


@asynccontextmanager
async def open_producer(log: LogConnection, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer that is acknowledged by all in-sync replicas.

    :raises LogUnavailable: it cannot be spoken to; says why, and which setting to look at.
    """
    producer = AIOKafkaProducer(
        **log.client_options(),
        acks="all",
        enable_idempotence=True,
        max_request_size=MAX_RECORD_BYTES,
        **options,
    )
    await _start(producer, log)
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def open_consumer(
    log: LogConnection, *, max_fetch_bytes: int = MAX_RECORD_BYTES, **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that commits nothing by itself and can fetch the largest record.

    :param max_fetch_bytes: what a fetch brings of one partition, unless its first batch alone is larger.
    :raises LogUnavailable: it cannot be spoken to; says why, and which setting to look at.
    """
    consumer = AIOKafkaConsumer(
        **log.client_options(),
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_bytes=2 * MAX_RECORD_BYTES,
        max_partition_fetch_bytes=max_fetch_bytes,
        **options,
    )
    await _start(consumer, log)
    try:
        yield consumer
    finally:
        await _stop_consumer(consumer)


@asynccontextmanager
async def open_admin(log: LogConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client.

    :raises LogUnavailable: it cannot be spoken to; says why, and which setting to look at.
    """
    admin = AIOKafkaAdminClient(**log.client_options())
    await _start(admin, log)
    try:
        yield admin
    finally:
        await admin.close()


async def append(producer: AIOKafkaProducer, records: Sequence[NewRecord]) -> None:
    """Append records and wait until each is acknowledged; their order within a partition is kept.

    :raises LogUnavailable: one was not acknowledged; any of them may be durable all the same.
    """
    acknowledgements: list[asyncio.Future[Any]] = []
    try:
        for record in records:
            headers = list(record.headers)
            sending = await producer.send(record.topic, key=record.key, value=record.value, headers=headers)
            acknowledgements.append(sending)
        for acknowledgement in acknowledgements:
            await acknowledgement
    except KafkaError as error:
        raise LogUnavailable(f"The log did not acknowledge an append: {error!r}.") from error
    finally:
        for acknowledgement in acknowledgements:
            acknowledgement.add_done_callback(_note_seen)


def _note_seen(acknowledgement: asyncio.Future[Any]) -> None:
    """Of records that fail together the first one is told; the loop would report each of the others."""
    if not acknowledgement.cancelled():
        acknowledgement.exception()


def to_record(message: Any) -> Record:
    """An aiokafka `ConsumerRecord` as our own."""
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=message.timestamp,
        key=message.key,
        value=message.value if message.value is not None else b"",
        headers=tuple((name, bytes(value or b"")) for name, value in message.headers),
    )


async def _stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, also one whose log is gone or that was never used.

    aiokafka 0.14 cancels its own tasks then and lets that out as if the caller were cancelled, half stopped.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await consumer._client.close()  # noqa: SLF001 - what its `stop` would have done next
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


async def _start(client: Any, log: LogConnection) -> None:
    try:
        await client.start()
    except BaseException as error:
        # Half started, or cancelled meanwhile, it holds connections.
        stop = getattr(client, "stop", None) or client.close
        await stop()
        if not isinstance(error, KafkaError | OSError):
            raise
        raise LogUnavailable(await explain_failure(log, error)) from error
