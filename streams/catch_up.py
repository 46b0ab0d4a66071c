"""Bringing a work index up to date with a partition of the log.

Read forward from the index's positions to the high watermarks, topic after topic: first the outcomes, so that a
request that is done is never filed with all that it says; then the requests; then the dead letters, since one only
points at the request that it closed. That it is the log we know was looked at before (see `streams.log_check`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from streams.errors import StageCrashed
from streams.work_index import WorkIndex

logger = logging.getLogger(__name__)

# One transaction each: more of them at once share the pages that they change, and keep the event loop for longer.
_BATCH_RECORDS = 2000


async def catch_up(
    index: WorkIndex,
    partition: int,
    *,
    topics: Sequence[str],
    apply: Callable[[Record], None],
    log: LogConnection,
) -> int:
    """Apply what a partition of the topics, in their order, holds beyond the index's positions; returns the count.

    :raises StageCrashed: the log has changed since it was looked at.
    :raises LogUnavailable: the log does not answer.
    """
    places = [TopicPartition(topic, partition) for topic in topics]
    try:
        async with open_consumer(log, max_poll_records=_BATCH_RECORDS) as consumer:
            consumer.assign(places)
            marks = await consumer.end_offsets(places)
            await _seek_all(consumer, index, places)
            return await _read_forward(consumer, index, {place: marks[place] for place in places}, apply)
    except OffsetOutOfRangeError as error:
        raise StageCrashed(f"The log no longer has what is to be read next: {error.args[0]}.") from error
    except KafkaError as error:
        raise LogUnavailable(f"The log stopped answering: {error!r}.") from error


async def _seek_all(consumer: AIOKafkaConsumer, index: WorkIndex, places: Sequence[TopicPartition]) -> None:
    begins = await consumer.beginning_offsets(places)
    for place in places:
        position = index.positions.find(place.topic, place.partition)
        consumer.seek(place, position.next_offset if position else begins[place])


async def _read_forward(
    consumer: AIOKafkaConsumer,
    index: WorkIndex,
    ends: dict[TopicPartition, int],
    apply: Callable[[Record], None],
) -> int:
    count = 0
    for place, end in ends.items():
        while await consumer.position(place) < end:
            batch = await consumer.getmany(place, timeout_ms=1000)
            records = [to_record(record) for record in batch.get(place, ())]
            with index.transaction():
                for record in records:
                    apply(record)
                index.positions.advance(records)
            count += len(records)
    return count
