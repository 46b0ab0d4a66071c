"""Putting records into a log, and reading all that it holds."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import TopicPartition

from postcall.kafka import append, open_consumer, open_producer, to_record
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.topics import Topic

PARTITIONS = 4


async def append_all(address: str, records: Sequence[NewRecord]) -> None:
    """Append records; durable on return."""
    async with open_producer(LogConnection(address), max_batch_size=1024 * 1024) as producer:
        await append(producer, records)


async def count_records(address: str, topic: Topic, *, partitions: int = PARTITIONS) -> int:
    """How many records a topic holds."""
    async with open_consumer(LogConnection(address)) as consumer:
        ends = await consumer.end_offsets([TopicPartition(topic.name, number) for number in range(partitions)])
    return sum(ends.values())


async def read_all(address: str, topic: Topic) -> list[Record]:
    """All records of a topic, partition by partition."""
    places = [TopicPartition(topic.name, number) for number in range(PARTITIONS)]
    records: list[Record] = []
    async with open_consumer(LogConnection(address)) as consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            batches = await consumer.getmany(*places, timeout_ms=200)
            records += [to_record(message) for messages in batches.values() for message in messages]
    return records


async def read_ids(address: str, topic: Topic) -> list[str]:
    """The `ce_id` of each record of a topic."""
    return [record.header("ce_id") or "" for record in await read_all(address, topic)]
