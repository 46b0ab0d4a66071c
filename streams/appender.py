"""Appending what a stage derives, with a producer of its own.

Faust's producer is not used: it is not idempotent outside of transactions, and with a buffer of its own between
`send` and the log it cannot say which record's acknowledgement failed. After any failure the producer is replaced:
an idempotent producer that gave up on a batch has a gap in its sequence, and the log would refuse all that follows.
What is appended again then is a duplicate with the same id, which collapses downstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer

from postcall.errors import LogUnavailable
from postcall.kafka import append, open_producer
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.topics import MAX_RECORD_BYTES
from streams.errors import RecordTooLarge

# One request per partition and batch of records; the default of 16 kB would make ten of it, each with its own fsync.
_BATCH_BYTES = 1024 * 1024
# After this long without an acknowledgement the stage says that it waits for the log.
_REQUEST_TIMEOUT_MS = 10_000
# What the record format adds around key, value and headers, generously.
_OVERHEAD_BYTES = 1024


class Appender:
    """Appends records to the log. The producer is opened when it is first needed; calls may overlap."""

    def __init__(self, log: LogConnection) -> None:
        self._log = log
        self._opened = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def append(self, records: Sequence[NewRecord]) -> None:
        """Append records in order, and return once each is acknowledged.

        :raises RecordTooLarge: one would never be accepted; none was sent.
        :raises LogUnavailable: one was not acknowledged; any of them may be durable all the same.
        """
        for record in records:
            require_fitting(record)
        if not records:
            return
        producer = await self._open()
        try:
            await append(producer, records)
        except LogUnavailable:
            await self._abandon(producer)
            raise

    async def close(self) -> None:
        """Close the producer, once what it still holds was acknowledged or given up."""
        if self._producer is not None:
            await self._abandon(self._producer)

    async def _open(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                self._producer = await self._opened.enter_async_context(
                    open_producer(self._log, max_batch_size=_BATCH_BYTES, request_timeout_ms=_REQUEST_TIMEOUT_MS)
                )
            return self._producer

    async def _abandon(self, producer: AIOKafkaProducer) -> None:
        async with self._lock:
            # Of several appends that failed together, the first one replaces the producer.
            if self._producer is producer:
                self._producer = None
                opened, self._opened = self._opened, AsyncExitStack()
                await opened.aclose()


def require_fitting(record: NewRecord) -> None:
    """Check a record against the log's limit.

    :raises RecordTooLarge: it is above.
    """
    headers = sum(len(name) + len(value) + 16 for name, value in record.headers)
    size = len(record.key or b"") + len(record.value) + headers + _OVERHEAD_BYTES
    if size > MAX_RECORD_BYTES:
        raise RecordTooLarge(
            f"What was derived has {len(record.value)} bytes, and the log takes {MAX_RECORD_BYTES} for a whole record."
        )
