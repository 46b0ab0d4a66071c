"""Bringing a work index up to date with a partition of the log.

Read forward from the index's positions to the high watermarks: first the requests, then what became of them, since a
dead letter only points at the request that it closed. Before that, the record before each position is read again: a
log that was made anew, or restored from an older copy, is told from the one we know even where it has grown longer
since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from postcall.checksums import record_checksum
from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from streams.errors import LogMismatch
from streams.work_index import WorkIndex

logger = logging.getLogger(__name__)

_BATCH_RECORDS = 500
_ADVICE = "If the log is right as it is, delete the stage's work index: it will be made again from the log."


async def catch_up(
    index: WorkIndex,
    partition: int,
    *,
    topics: Sequence[str],
    apply: Callable[[Record], None],
    log: LogConnection,
) -> int:
    """Apply what a partition of the topics, in their order, holds beyond the index's positions; returns the count.

    :raises LogMismatch: the log is shorter than, or different from, what the index was made from.
    :raises LogUnavailable: the log does not answer.
    """
    places = [TopicPartition(topic, partition) for topic in topics]
    try:
        async with open_consumer(log, max_poll_records=_BATCH_RECORDS) as consumer:
            consumer.assign(places)
            marks = await consumer.end_offsets(places)
            ends = {place: marks[place] for place in places}
            expected = await _seek_all(consumer, index, places, ends)
            return await _read_forward(consumer, index, ends, expected, apply)
    except KafkaError as error:
        raise LogUnavailable(f"The log stopped answering: {error!r}.") from error


async def _seek_all(
    consumer: AIOKafkaConsumer,
    index: WorkIndex,
    places: Sequence[TopicPartition],
    ends: dict[TopicPartition, int],
) -> dict[tuple[str, int], str]:
    """Go to each position; returns the checksum that the first record read there must have."""
    begins = await consumer.beginning_offsets(places)
    expected: dict[tuple[str, int], str] = {}
    for place in places:
        checkpoint = index.checkpoint(place.topic, place.partition)
        if checkpoint is None:
            consumer.seek(place, begins[place])
            continue
        last_offset = checkpoint.next_offset - 1
        if last_offset >= ends[place]:
            raise _mismatch(place, checkpoint.next_offset, f"the log ends at offset {ends[place]}")
        if last_offset < begins[place]:
            raise _mismatch(place, checkpoint.next_offset, f"the log begins at offset {begins[place]}")
        consumer.seek(place, last_offset)
        expected[place.topic, last_offset] = checkpoint.checksum
    return expected


async def _read_forward(
    consumer: AIOKafkaConsumer,
    index: WorkIndex,
    ends: dict[TopicPartition, int],
    expected: dict[tuple[str, int], str],
    apply: Callable[[Record], None],
) -> int:
    count = 0
    for place, end in ends.items():
        while await consumer.position(place) < end:
            batch = await consumer.getmany(place, timeout_ms=1000)
            with index.transaction():
                for record in map(to_record, batch.get(place, ())):
                    checksum = expected.pop((record.topic, record.offset), None)
                    if checksum is None:
                        apply(record)
                        index.advance(record)
                        count += 1
                    elif checksum != record_checksum(record):
                        raise _mismatch(place, record.next_offset, f"another record lies at offset {record.offset}")
    return count


def _mismatch(place: TopicPartition, next_offset: int, finding: str) -> LogMismatch:
    return LogMismatch(
        f"{place.topic}, partition {place.partition}, was read up to offset {next_offset}, but {finding}. {_ADVICE}",
        topic=place.topic,
        partition=place.partition,
        offset=next_offset,
    )
