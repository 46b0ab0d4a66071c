"""Reading the log without a consumer group: the warehouse's checkpoints say where to go on, and nothing else does.

Before anything is read, the log is looked at: what contradicts the checkpoints, if anything does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer
from postcall.known_log.comparison import Finding, Memory, find_contradictions
from postcall.known_log.identity import LogIdentity, read_identity
from postcall.known_log.witnesses import read_witnesses
from postcall.log_connection import LogConnection
from projections.batch import LogRecord
from projections.checkpoints import Checkpoint, least_far
from projections.sql_files import INPUT_TOPICS


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The log as it is, and what contradicts the checkpoints, the gravest first."""

    log: LogIdentity
    findings: Sequence[Finding]

    @property
    def is_other_log(self) -> bool:
        """Whether nothing of what was read can be built upon."""
        return any(finding.kind == "made_anew" for finding in self.findings)

    @property
    def gone(self) -> int:
        """Records that were in the log once, and are not there any more."""
        return sum(held.start for topic in INPUT_TOPICS.values() for held in self.log.topics[topic].partitions)


class LogReader:
    """All partitions of all inputs, from the checkpoints on."""

    def __init__(self, consumer: AIOKafkaConsumer, *, end_offsets: Mapping[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._end_offsets = dict(end_offsets)

    async def fetch(self, *, max_records: int, timeout_ms: int) -> list[LogRecord]:
        """What lies next, in the order of offsets within each partition; empty if nothing comes in time.

        :raises LogUnavailable: the log no longer has what comes next; look at it again.
        """
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            raise LogUnavailable(f"The log no longer has what is to be read next: {error.args[0]}.") from error
        return [record for records in fetched.values() for record in records]

    async def count_unread(self) -> int:
        """Records that were in the log when last heard of, and have not been fetched."""
        unread = 0
        for partition, end in self._end_offsets.items():
            high_watermark = self._consumer.highwater(partition) or end
            unread += max(0, high_watermark - await self._consumer.position(partition))
        return unread


async def look_at_log(log: LogConnection, checkpoints: Sequence[Checkpoint]) -> Look:
    """Compare the log with the checkpoints.

    :raises LogUnavailable: it does not answer, or does not have the topics yet.
    """
    now = await read_identity(log)
    missing = [topic for topic in INPUT_TOPICS.values() if topic not in now.topics]
    if missing:
        raise LogUnavailable(f"The log at {log} has no topic {missing[0]} yet.")
    positions = least_far(checkpoints).values()
    memories = [Memory(position=position, read_up_to=position.next_offset) for position in positions]
    return Look(log=now, findings=find_contradictions(memories, now, await read_witnesses(log, positions, now)))


@asynccontextmanager
async def open_reader(log: LogConnection, checkpoints: Sequence[Checkpoint]) -> AsyncIterator[LogReader]:
    """Open the log, once it was looked at, at the checkpoints, which every partition has.

    :raises LogUnavailable: it does not answer.
    """
    positions = least_far(checkpoints)
    try:
        async with open_consumer(log) as consumer:
            places = {TopicPartition(*place): position.next_offset for place, position in sorted(positions.items())}
            consumer.assign(list(places))
            ends = await consumer.end_offsets(list(places))
            for place, next_offset in places.items():
                consumer.seek(place, next_offset)
            yield LogReader(consumer, end_offsets=ends)
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error
