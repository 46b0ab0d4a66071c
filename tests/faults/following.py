"""Following a topic from its beginning while others write to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from postcall.kafka import open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.topics import Topic


class Follower:
    """Reads on whenever it is asked to; use `following` to make one."""

    def __init__(self, consumer: AIOKafkaConsumer, places: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._places = places

    async def read_on(self) -> list[Record]:
        """All that was written until now and has not been read."""
        ends = await self._consumer.end_offsets(self._places)
        records: list[Record] = []
        while any([await self._consumer.position(place) < end for place, end in ends.items()]):
            batches = await self._consumer.getmany(timeout_ms=200)
            records += [to_record(message) for messages in batches.values() for message in messages]
        return records


@asynccontextmanager
async def following(log: LogConnection, topic: Topic, *, partitions: int) -> AsyncIterator[Follower]:
    """Follow a topic while the block runs."""
    places = [TopicPartition(topic.name, number) for number in range(partitions)]
    async with open_consumer(log) as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        yield Follower(consumer, places)
