"""Reading a partition from one offset to another, without a gap and without waiting for ever."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer
from postcall.log_connection import LogConnection
from postcall.log_copy.errors import RecordsMissing, name_of

#: Records that are decoded at a time; their bytes wait as they came.
_CHUNK_RECORDS: Final = 500
_FETCH_TIMEOUT_MS: Final = 1000
#: A fetch past the end, which the client sends in advance, holds up the partition that is read next.
_LONGEST_WAIT_MS: Final = 20


class PartitionReader:
    """Reads partitions of one log, one after the other.

    :param silence_limit_s: after so long without a record that the log is known to have, it is given up.
    """

    def __init__(self, log: LogConnection, consumer: AIOKafkaConsumer, *, silence_limit_s: float) -> None:
        self._log = log
        self._consumer = consumer
        self._silence_limit_s = silence_limit_s

    async def read(self, place: TopicPartition, offsets: range) -> AsyncIterator[Any]:
        """The record at each of the offsets, in their order.

        :raises RecordsMissing: there is none at one of them.
        :raises LogUnavailable: the log does not answer.
        """
        if not offsets:
            return
        self._consumer.assign([place])
        self._consumer.seek(place, offsets.start)
        expected = offsets.start
        while expected < offsets.stop:
            for record in await self._fetch(place, expected):
                if record.offset != expected:
                    raise self._gap(place, expected, record.offset)
                yield record
                expected += 1
                if expected == offsets.stop:
                    break
        # What may lie beyond is not asked for.
        self._consumer.pause(place)

    async def _fetch(self, place: TopicPartition, expected: int) -> Sequence[Any]:
        deadline_s = time.monotonic() + self._silence_limit_s
        try:
            while time.monotonic() < deadline_s:
                fetched = await self._consumer.getmany(place, timeout_ms=_FETCH_TIMEOUT_MS, max_records=_CHUNK_RECORDS)
                if fetched:
                    records: Sequence[Any] = fetched[place]
                    return records
                # What transactions leave behind takes an offset and is never handed out.
                if (position := await self._consumer.position(place)) != expected:
                    raise self._gap(place, expected, position)
        except OffsetOutOfRangeError:
            raise RecordsMissing(
                f"{name_of(place)} on {self._log} has no record at offset {expected} any more: retention or a deletion"
                " removed it.",
                place,
                expected,
            ) from None
        except KafkaError as error:
            raise LogUnavailable(f"The log at {self._log} does not answer: {error!r}.") from error
        raise LogUnavailable(
            f"The log at {self._log} sent nothing of {name_of(place)} for {self._silence_limit_s:g} s."
            " Copy again to go on."
        )

    def _gap(self, place: TopicPartition, expected: int, found: int) -> RecordsMissing:
        return RecordsMissing(
            f"{name_of(place)} on {self._log} has no records at offsets {expected} to {found - 1}: compaction or a"
            " transaction left a gap, and a copy could not keep the offsets after it.",
            place,
            expected,
        )


@asynccontextmanager
async def open_reader(log: LogConnection, *, silence_limit_s: float) -> AsyncIterator[PartitionReader]:
    """A reader of one log.

    :raises LogUnavailable: nothing answers at the address.
    """
    async with open_consumer(log, fetch_max_wait_ms=_LONGEST_WAIT_MS) as consumer:
        yield PartitionReader(log, consumer, silence_limit_s=silence_limit_s)
