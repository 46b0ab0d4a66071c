"""Clients of the log, all with one size rule, and the topics made to match the table.

Everything here speaks the Kafka protocol: it cannot tell the embedded log from Apache Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, LeaderNotAvailableError, TopicAlreadyExistsError, for_code

from postcall.errors import LogUnavailable
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.topics import ALL_TOPICS, MAX_RECORD_BYTES

_LEADERS_LIMIT_S = 15


@asynccontextmanager
async def open_producer(log: LogConnection, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer that is acknowledged by all in-sync replicas.

    :raises LogUnavailable: nothing answers at the address.
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
async def open_consumer(log: LogConnection, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that commits nothing by itself and can fetch the largest record.

    :raises LogUnavailable: nothing answers at the address.
    """
    consumer = AIOKafkaConsumer(
        **log.client_options(),
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_bytes=2 * MAX_RECORD_BYTES,
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
        **options,
    )
    await _start(consumer, log)
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def open_admin(log: LogConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client.

    :raises LogUnavailable: nothing answers at the address.
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
    try:
        acknowledgements = [
            await producer.send(record.topic, key=record.key, value=record.value, headers=list(record.headers))
            for record in records
        ]
        for acknowledgement in acknowledgements:
            await acknowledgement
    except KafkaError as error:
        raise LogUnavailable(f"The log did not acknowledge an append: {error!r}.") from error


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


async def create_topics(log: LogConnection, *, partitions: int, replication_factor: int) -> list[str]:
    """Make the topics that are not there yet; returns their names, once all topics can be written to.

    :raises LogUnavailable: nothing answers at the address, or it refuses.
    """
    configs = {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": str(MAX_RECORD_BYTES)}
    async with open_admin(log) as admin:
        try:
            there = set(await admin.list_topics())
            missing = [topic.name for topic in ALL_TOPICS if topic.name not in there]
            response = await admin.create_topics(
                [
                    NewTopic(
                        name=name,
                        num_partitions=partitions,
                        replication_factor=replication_factor,
                        topic_configs=configs,
                    )
                    for name in missing
                ]
            )
            _check_created(response)
            await _wait_for_leaders(admin)
        except KafkaError as error:
            raise LogUnavailable(f"The topics could not be made: {error!r}.") from error
    return missing


def _check_created(response: Any) -> None:
    for name, code, *_ in response.topic_errors:
        # Another process may have made it between the listing and now: that is what was wanted.
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(name)


async def _wait_for_leaders(admin: AIOKafkaAdminClient) -> None:
    """Apache Kafka answers before its brokers know the topics, and would deny for a moment that they exist."""
    deadline = time.monotonic() + _LEADERS_LIMIT_S
    while not all(_is_led(topic) for topic in await admin.describe_topics([topic.name for topic in ALL_TOPICS])):
        if time.monotonic() > deadline:
            raise LeaderNotAvailableError
        await asyncio.sleep(0.05)


def _is_led(topic: dict[str, Any]) -> bool:
    return not topic["error_code"] and all(partition["leader"] >= 0 for partition in topic["partitions"])


async def _start(client: Any, log: LogConnection) -> None:
    try:
        await client.start()
    except BaseException as error:
        # Half started, or cancelled meanwhile, it holds connections.
        stop = getattr(client, "stop", None) or client.close
        await stop()
        if not isinstance(error, KafkaError | OSError):
            raise
        raise LogUnavailable(f"No Kafka answers at {log}. Is the log running?") from error
