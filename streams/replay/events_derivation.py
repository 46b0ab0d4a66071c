"""Deriving a generation of events again from the deliveries, with the function that the stage `normalize` runs.

Always from the first delivery that is kept: what an earlier attempt left may be another normalizer's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from postcall.dead_letters import ErrorClass
from postcall.errors import LogUnavailable, UnreadableRecord
from postcall.kafka import open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.topics import WEBHOOKS
from streams.appender import Appender, require_fitting
from streams.errors import RecordTooLarge
from streams.failures import describe_failure
from streams.set_aside import encode_dead_letter
from streams.transform import Derive

_STAGE: Final = "normalize"
_BATCH_RECORDS: Final = 1000
_FETCH_BYTES: Final = 4 * 1024 * 1024
_WAIT_MS: Final = 500


class Rederivation:
    """Derives events up to where it is told to, and further with each call.

    What cannot be read is kept as a dead letter, which nobody has appended.
    """

    def __init__(self, derive: Derive) -> None:
        self._derive_one = derive
        self.read_up_to: dict[int, int] = {}
        self.deliveries = 0
        self.events = 0
        #: By id, as the live stage would append it.
        self.letters: dict[str, NewRecord] = {}
        self.reasons: Counter[ErrorClass] = Counter()

    async def derive_up_to(
        self, ends: Mapping[int, int], *, log: LogConnection, appender: Appender, on_progress: Callable[[int], None]
    ) -> None:
        """Derive what lies before these offsets and was not derived yet; durable on return.

        :param on_progress: told how many deliveries were read in all.
        :raises LogUnavailable: the log stopped answering; the generation is of no use.
        """
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._read(log, ends)) as batches:
                async for records in batches:
                    derived = [event for record in records for event in self._derive(record)]
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(appender.append(derived))
                    self.deliveries += len(records)
                    self.events += len(derived)
                    on_progress(self.deliveries)
        finally:
            if writing is not None:
                await writing
        self.read_up_to |= ends

    async def _read(self, log: LogConnection, ends: Mapping[int, int]) -> AsyncGenerator[list[Record], None]:
        marks = {TopicPartition(WEBHOOKS.name, partition): end for partition, end in ends.items()}
        try:
            async with open_consumer(log, max_poll_records=_BATCH_RECORDS, max_fetch_bytes=_FETCH_BYTES) as consumer:
                await self._seek(consumer, marks)
                while unread := [place for place, end in marks.items() if await consumer.position(place) < end]:
                    batches = await consumer.getmany(*unread, timeout_ms=_WAIT_MS)
                    yield [
                        to_record(found)
                        for place, batch in batches.items()
                        for found in batch
                        if found.offset < marks[place]
                    ]
        except KafkaError as error:
            raise LogUnavailable(f"The log at {log} stopped answering: {error!r}.") from error

    async def _seek(self, consumer: AIOKafkaConsumer, marks: Mapping[TopicPartition, int]) -> None:
        consumer.assign(list(marks))
        starts = await consumer.beginning_offsets(list(marks))
        for place, start in starts.items():
            consumer.seek(place, self.read_up_to.get(place.partition, start))

    def _derive(self, record: Record) -> Sequence[NewRecord]:
        try:
            derived = self._derive_one(record)
            for event in derived:
                require_fitting(event)
        except (UnreadableRecord, RecordTooLarge) as error:
            self._set_aside(record, error.error_class, str(error))
        except Exception as error:  # noqa: BLE001 - our own code may fail in any way, and this is to be seen
            self._set_aside(record, "bug", describe_failure(error))
        else:
            return derived
        return ()

    def _set_aside(self, record: Record, error_class: ErrorClass, reason: str) -> None:
        letter = encode_dead_letter(record, stage=_STAGE, error_class=error_class, reason=reason)
        identity = next(value for name, value in letter.headers if name == "ce_id").decode()
        self.letters[identity] = letter
        self.reasons[error_class] += 1


async def read_session_ids(log: LogConnection, starts: Mapping[int, int]) -> set[str]:
    """The sessions of the deliveries that the log has now from these offsets on.

    :raises LogUnavailable: the log stopped answering.
    """
    places = {TopicPartition(WEBHOOKS.name, partition): start for partition, start in starts.items()}
    found: set[str] = set()
    try:
        async with open_consumer(log, max_poll_records=_BATCH_RECORDS, max_fetch_bytes=_FETCH_BYTES) as consumer:
            consumer.assign(list(places))
            ends = await consumer.end_offsets(list(places))
            for place, start in places.items():
                consumer.seek(place, start)
            while unread := [place for place, end in ends.items() if await consumer.position(place) < end]:
                batches = await consumer.getmany(*unread, timeout_ms=_WAIT_MS)
                found.update(_keys(batches))
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} stopped answering: {error!r}.") from error
    return found


def _keys(batches: Mapping[TopicPartition, Sequence[object]]) -> Iterator[str]:
    records = (to_record(message) for batch in batches.values() for message in batch)
    return (record.key.decode("utf-8", "replace") for record in records if record.key is not None)
