"""Appending to a partition of the target, in large batches, each checked to lie where it lay in the source."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidTimestampError, KafkaError, MessageSizeTooLargeError

from postcall.errors import LogUnavailable
from postcall.kafka import open_producer
from postcall.log_connection import LogConnection
from postcall.log_copy.digests import CopiedRecord
from postcall.log_copy.errors import CopyBroken, CopyDiffers, name_of
from postcall.topics import MAX_RECORD_BYTES

#: One request of one fsync; a record that is larger goes in a batch of its own.
_BATCH_BYTES: Final = 1024 * 1024
_BATCHES_UNDER_WAY: Final = 2
_CLOSE_LIMIT_S: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetProducer:
    """A producer of the target.

    :param silence_limit_s: after so long without an acknowledgement the target is given up.
    """

    log: LogConnection
    producer: AIOKafkaProducer
    silence_limit_s: float


class PartitionAppender:
    """Appends to one partition, in order, from `next_offset` on."""

    def __init__(self, target: TargetProducer, place: TopicPartition, next_offset: int) -> None:
        self._target = target
        self._place = place
        self._next_offset = next_offset
        self._batch: Any = None
        self._under_way: deque[tuple[int, asyncio.Future[Any]]] = deque()

    async def append(self, record: CopiedRecord) -> None:
        """Append a record, sooner or later.

        :raises CopyBroken: the target refuses one, or put one elsewhere, because somebody else writes there.
        :raises LogUnavailable: the target does not answer.
        """
        if self._batch is not None and not self._take(record):
            await self._send()
        if self._batch is None:
            self._batch = self._target.producer.create_batch()
            # The first record of a batch is taken however large it is.
            self._take(record)

    async def flush(self) -> None:
        """Return once everything is acknowledged.

        :raises: as `append`
        """
        if self._batch is not None:
            await self._send()
        while self._under_way:
            await self._await_oldest()

    def abandon(self) -> None:
        """Forget what is under way, which may or may not reach the target."""
        for _, acknowledgement in self._under_way:
            acknowledgement.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._under_way.clear()

    def _take(self, record: CopiedRecord) -> bool:
        taken = self._batch.append(
            timestamp=record.timestamp, key=record.key, value=record.value, headers=list(record.headers)
        )
        return taken is not None

    async def _send(self) -> None:
        batch, self._batch = self._batch, None
        try:
            async with asyncio.timeout(self._target.silence_limit_s):
                acknowledgement = await self._target.producer.send_batch(
                    batch, self._place.topic, partition=self._place.partition
                )
        except (KafkaError, TimeoutError) as error:
            raise self._failure(error, self._next_offset) from error
        self._under_way.append((self._next_offset, acknowledgement))
        self._next_offset += batch.record_count()
        if len(self._under_way) >= _BATCHES_UNDER_WAY:
            await self._await_oldest()

    async def _await_oldest(self) -> None:
        offset, acknowledgement = self._under_way[0]
        try:
            # An idempotent producer of aiokafka tries for ever.
            async with asyncio.timeout(self._target.silence_limit_s):
                appended = await asyncio.shield(acknowledgement)
        except (KafkaError, TimeoutError) as error:
            raise self._failure(error, offset) from error
        self._under_way.popleft()
        if appended.offset != offset:
            raise CopyDiffers(
                f"{name_of(self._place)} on {self._target.log}: the record of offset {offset} was put at"
                f" {appended.offset}, since something else writes to the target. Stop that, delete the topic there,"
                " and copy again.",
                self._place,
                offset,
            )

    def _failure(self, error: Exception, offset: int) -> LogUnavailable | CopyBroken:
        where, silence_limit_s = f"{name_of(self._place)} on {self._target.log}", self._target.silence_limit_s
        if isinstance(error, TimeoutError):
            return LogUnavailable(f"{where} acknowledged nothing for {silence_limit_s:g} s. Copy again to go on.")
        if isinstance(error, MessageSizeTooLargeError):
            return CopyBroken(
                f"{where} takes no record as large as that of offset {offset}."
                f" Set max.message.bytes={MAX_RECORD_BYTES} there, and copy again to go on."
            )
        if isinstance(error, InvalidTimestampError):
            return CopyBroken(
                f"{where} does not take the timestamps of the records from offset {offset} on."
                " Set message.timestamp.before.max.ms and message.timestamp.after.max.ms there to 9223372036854775807,"
                " and copy again to go on."
            )
        return LogUnavailable(f"{where} refused records: {error!r}. Copy again to go on.")


@asynccontextmanager
async def open_appender(
    target: TargetProducer, place: TopicPartition, *, next_offset: int
) -> AsyncIterator[PartitionAppender]:
    """Append to a partition; when the block ends well, everything is acknowledged.

    :raises CopyBroken: (on leaving) see `PartitionAppender.append`
    :raises LogUnavailable: (on leaving) the target does not answer.
    """
    appender = PartitionAppender(target, place, next_offset)
    try:
        yield appender
        await appender.flush()
    finally:
        appender.abandon()


@asynccontextmanager
async def open_target_producer(log: LogConnection, *, silence_limit_s: float) -> AsyncIterator[TargetProducer]:
    """A producer of large batches, whose closing does not wait for ever for a target that is gone.

    :raises LogUnavailable: nothing answers at the address.
    """
    opened = open_producer(log, max_batch_size=_BATCH_BYTES)
    producer = await opened.__aenter__()
    try:
        yield TargetProducer(log=log, producer=producer, silence_limit_s=silence_limit_s)
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await opened.__aexit__(None, None, None)
