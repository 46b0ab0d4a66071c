"""Reading the log without a consumer group: the warehouse's checkpoints say where to go on, and nothing else does.

Before anything is read, the log is compared with what the checkpoints remember of it: its cluster id, and the record
before each. A log that is not the same, or that has lost records we have not read, is never read on silently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from postcall.checksums import record_checksum
from postcall.errors import LogUnavailable
from postcall.kafka import open_admin, open_consumer
from postcall.log_connection import LogConnection
from projections.batch import LogRecord
from projections.errors import LogMismatch
from projections.sql_files import INPUT_TOPICS, PROJECTIONS, load_sql
from projections.warehouse import Checkpoint

logger = logging.getLogger(__name__)

_WITNESS_TIMEOUT_S: Final = 30.0
_ADVICE: Final = "If that is meant, delete the warehouse files (warehouse-*.duckdb): they come back from the log."


class LogReader:
    """All partitions of all inputs, from the checkpoints on."""

    def __init__(self, consumer: AIOKafkaConsumer, *, cluster_id: str | None, end_offsets: Mapping[Any, int]) -> None:
        self._consumer = consumer
        self.cluster_id = cluster_id
        self._end_offsets = dict(end_offsets)

    async def fetch(self, *, max_records: int, timeout_ms: int) -> list[LogRecord]:
        """What lies next, in the order of offsets within each partition; empty if nothing comes in time.

        :raises LogMismatch: the log no longer has what comes next.
        """
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            raise LogMismatch(f"The log no longer has what is to be read next: {error.args[0]}. {_ADVICE}") from error
        return [record for records in fetched.values() for record in records]

    async def count_unread(self) -> int:
        """Records that were in the log when last heard of, and have not been fetched."""
        unread = 0
        for partition, end in self._end_offsets.items():
            high_watermark = self._consumer.highwater(partition) or end
            unread += max(0, high_watermark - await self._consumer.position(partition))
        return unread


@asynccontextmanager
async def open_reader(log: LogConnection, checkpoints: Sequence[Checkpoint]) -> AsyncIterator[LogReader]:
    """Open the log at the checkpoints.

    :raises LogUnavailable: it does not answer, or does not have the topics yet.
    :raises LogMismatch: it is not the log of these checkpoints.
    """
    try:
        partitions, cluster_id = await _describe(log)
        async with open_consumer(log) as consumer:
            consumer.assign(partitions)
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                checkpoint = _first_checkpoint(partition, checkpoints)
                _compare_offsets(partition, checkpoint, cluster_id, starts[partition], ends[partition])
                await _seek(consumer, partition, checkpoint)
            yield LogReader(consumer, cluster_id=cluster_id, end_offsets=ends)
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error


async def _describe(log: LogConnection) -> tuple[list[TopicPartition], str | None]:
    names = list(INPUT_TOPICS.values())
    async with open_admin(log) as admin:
        missing = set(names) - set(await admin.list_topics())
        if missing:
            raise LogUnavailable(f"The log at {log} has no topic {min(missing)} yet.")
        topics = await admin.describe_topics(names)
        cluster = await admin.describe_cluster()
    partitions = [
        TopicPartition(topic["topic"], place["partition"]) for topic in topics for place in topic["partitions"]
    ]
    return sorted(partitions), cluster.get("cluster_id") or None


def _first_checkpoint(partition: TopicPartition, checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """Of the projections that follow this partition, the one that is least far; None if one has read nothing."""
    followers = {name for name in PROJECTIONS if partition.topic in {INPUT_TOPICS[i] for i in load_sql(name).reads}}
    found = {
        checkpoint.projection: checkpoint
        for checkpoint in checkpoints
        if (checkpoint.topic, checkpoint.partition) == (partition.topic, partition.partition)
    }
    if followers - set(found):
        return None
    return min((found[name] for name in followers), key=lambda checkpoint: checkpoint.next_offset)


def _compare_offsets(
    partition: TopicPartition, checkpoint: Checkpoint | None, cluster_id: str | None, start: int, end: int
) -> None:
    place = f"{partition.topic}/{partition.partition}"
    wanted = checkpoint.next_offset if checkpoint else 0
    if start > wanted:
        raise LogMismatch(
            f"The log has lost {start - wanted} records of {place} that were not read yet "
            f"(offsets {wanted} to {start - 1}). {_ADVICE}"
        )
    if end < wanted:
        raise LogMismatch(f"{place} ends at offset {end}, but the warehouse has read up to {wanted}. {_ADVICE}")
    if checkpoint and cluster_id and checkpoint.cluster_id and checkpoint.cluster_id != cluster_id:
        raise LogMismatch(
            f"The warehouse was made from the cluster {checkpoint.cluster_id}, this one is {cluster_id}. {_ADVICE}"
        )


async def _seek(consumer: AIOKafkaConsumer, partition: TopicPartition, checkpoint: Checkpoint | None) -> None:
    if checkpoint is None or checkpoint.next_offset == 0:
        consumer.seek(partition, 0)
        return
    consumer.seek(partition, checkpoint.next_offset - 1)
    try:
        witness = await asyncio.wait_for(consumer.getone(partition), _WITNESS_TIMEOUT_S)
    except OffsetOutOfRangeError:
        witness = None  # retention took the record itself, and nothing after it
        consumer.seek(partition, checkpoint.next_offset)
    except TimeoutError:
        raise LogUnavailable(f"{partition.topic}/{partition.partition} could not be read.") from None
    if witness is not None and _differs(witness, checkpoint):
        raise LogMismatch(
            f"{partition.topic}/{partition.partition}: the record at offset {checkpoint.next_offset - 1} is not the "
            f"one that the warehouse has read. The log was made anew. {_ADVICE}"
        )


def _differs(witness: Any, checkpoint: Checkpoint) -> bool:
    return bool(witness.offset != checkpoint.next_offset - 1 or record_checksum(witness) != checkpoint.record_checksum)
