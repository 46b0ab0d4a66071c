"""Reading the log without a consumer group: the warehouse's checkpoints say where to go on, and nothing else does.

Before anything is read, the log is looked at: what contradicts the checkpoints, if anything does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
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
from postcall.topics import ALL_TOPICS
from projections.batch import LogRecord
from projections.checkpoints import Checkpoint, Place, least_far


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The log as it is, and what contradicts the checkpoints, the gravest first."""

    log: LogIdentity
    topics: Collection[str]
    findings: Sequence[Finding]

    @property
    def is_other_log(self) -> bool:
        """Whether nothing of what was read can be built upon."""
        return any(finding.kind == "made_anew" for finding in self.findings)

    @property
    def gone(self) -> int:
        """Records that were in the log once, and are not there any more."""
        return sum(held.start for topic in self.topics for held in self.log.topics[topic].partitions)


class LogReader:
    """Some partitions, from the checkpoints on, and as far as a limit where there is one."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        *,
        end_offsets: Mapping[TopicPartition, int],
        limit: Mapping[Place, int] | None,
    ) -> None:
        self._consumer = consumer
        self._end_offsets = dict(end_offsets)
        self._limit = limit

    async def fetch(self, *, max_records: int, timeout_ms: int) -> list[LogRecord]:
        """What lies next, in the order of offsets within each partition; empty if nothing comes in time.

        :raises LogUnavailable: the log no longer has what comes next; look at it again.
        """
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            raise LogUnavailable(f"The log no longer has what is to be read next: {error.args[0]}.") from error
        records = [record for records in fetched.values() for record in records]
        if self._limit is None:
            return records
        return [record for record in records if record.offset < self._limit.get((record.topic, record.partition), 0)]

    async def count_unread(self) -> int:
        """Records that were in the log when last heard of, and have not been fetched."""
        unread = 0
        for partition, end in self._end_offsets.items():
            to_read = self._consumer.highwater(partition) or end
            if self._limit is not None:
                to_read = min(to_read, self._limit.get((partition.topic, partition.partition), 0))
            unread += max(0, to_read - await self._consumer.position(partition))
        return unread


async def look_at_log(log: LogConnection, checkpoints: Sequence[Checkpoint], topics: Collection[str]) -> Look:
    """Compare the log, of which these topics are to be read, with the checkpoints.

    :raises LogUnavailable: it does not answer, or does not have the topics yet.
    """
    now = await read_identity(log, dict.fromkeys((*(topic.name for topic in ALL_TOPICS), *sorted(topics))))
    missing = sorted(topic for topic in topics if topic not in now.topics)
    if missing:
        raise LogUnavailable(f"The log at {log} has no topic {missing[0]} yet.")
    positions = least_far(checkpoints).values()
    memories = [Memory(position=position, read_up_to=position.next_offset) for position in positions]
    return Look(
        log=now, topics=topics, findings=find_contradictions(memories, now, await read_witnesses(log, positions, now))
    )


@asynccontextmanager
async def open_reader(
    log: LogConnection, checkpoints: Iterable[Checkpoint], *, limit: Mapping[Place, int] | None = None
) -> AsyncIterator[LogReader]:
    """Open the log, once it was looked at, at the least far of the checkpoints, in the partitions that they are in.

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
            yield LogReader(consumer, end_offsets=ends, limit=limit)
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error
