"""Reading the requests in bulk of the partitions that a stage owns.

They are not consumed by the group: a work index has live and bulk requests of the same partitions, and which those are
is decided by the group's one topic. Where to read on stands in the index, which moves it in one transaction with what
was filed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from postcall.kafka import open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.topics import Topic
from streams.errors import StageCrashed
from streams.failures import describe_failure, is_dependency_failure, pause_after
from streams.kept_positions import KeptPositions

logger = logging.getLogger(__name__)

_BATCH_RECORDS = 100
# How long a fetch waits for something new, and so how long a change of partitions waits for the fetch.
_FETCH_WAIT_MS = 1000


class BulkIntake:
    """Reads one topic.

    :param file: files records of it, durably, with their positions.
    """

    def __init__(
        self,
        topic: Topic,
        *,
        log: LogConnection,
        positions: KeptPositions,
        file: Callable[[Sequence[Record]], Awaitable[None]],
    ) -> None:
        self._topic = topic
        self._log = log
        self._positions = positions
        self._file = file
        self._owned: frozenset[int] = frozenset()
        self._changed = asyncio.Event()

    def own(self, partitions: frozenset[int]) -> None:
        """Read these partitions from now on, and no others."""
        self._owned = partitions
        self._changed.set()

    async def run(self) -> NoReturn:
        """Read, until cancelled; a log that is down is waited for.

        :raises StageCrashed: the log has changed since it was looked at.
        """
        failures = 0
        while True:
            try:
                await self._read()
                failures = 0
            except OffsetOutOfRangeError as error:
                raise StageCrashed(f"The log no longer has what is to be read next: {error.args[0]}.") from error
            except Exception as error:
                if not isinstance(error, KafkaError) and not is_dependency_failure(error):
                    raise
                failures += 1
                logger.log(
                    logging.WARNING if failures == 1 else logging.DEBUG,
                    "Cannot read requests in bulk: %s",
                    describe_failure(error),
                    extra={"action": "bulk_delayed", "topic": self._topic.name},
                )
                await asyncio.sleep(pause_after(failures))

    async def _read(self) -> None:
        """Read the partitions that are owned now, until others are."""
        self._changed.clear()
        if not self._owned:
            await self._changed.wait()
            return
        async with open_consumer(
            self._log, max_poll_records=_BATCH_RECORDS, fetch_max_wait_ms=_FETCH_WAIT_MS
        ) as consumer:
            places = [TopicPartition(self._topic.name, partition) for partition in sorted(self._owned)]
            consumer.assign(places)
            await self._seek(consumer, places)
            while not self._changed.is_set():
                batches = await consumer.getmany(timeout_ms=_FETCH_WAIT_MS)
                records = [to_record(record) for batch in batches.values() for record in batch]
                kept = [record for record in records if record.partition in self._owned]
                if kept:
                    await self._file(kept)

    async def _seek(self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> None:
        begins = await consumer.beginning_offsets(places)
        for place in places:
            position = self._positions.find(place.topic, place.partition)
            consumer.seek(place, position.next_offset if position else begins[place])
