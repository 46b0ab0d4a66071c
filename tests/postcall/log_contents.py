"""Filling a log with records of any kind, and reading all of it back, without the code under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from postcall.kafka import open_admin, open_consumer, open_producer
from postcall.log_connection import LogConnection
from postcall.topics import MAX_RECORD_BYTES

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a producer says of a record."""

    key: bytes | None = b"s1"
    value: bytes | None = b"{}"
    headers: Headers = ()
    timestamp: int = 1_700_000_000_000


@dataclass(frozen=True, kw_only=True)
class Found:
    """A record as it lies in a log."""

    place: TopicPartition
    offset: int
    written: Written


async def make_topic(address: str, name: str, *, partitions: int = 2, configs: dict[str, str] | None = None) -> None:
    """A topic that takes the largest record and drops none."""
    async with open_admin(LogConnection(address)) as admin:
        settings = {"max.message.bytes": str(MAX_RECORD_BYTES), "retention.ms": "-1"} | (configs or {})
        response = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
    assert all(code == 0 for _, code, *_ in response.topic_errors)
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        # Apache Kafka knows a topic a moment before it leads it.
        await consumer.end_offsets([TopicPartition(name, number) for number in range(partitions)])


async def fill(address: str, place: TopicPartition, records: Sequence[Written]) -> None:
    """Append records to a partition, all in one batch."""
    if not records:
        return
    async with open_producer(LogConnection(address), max_batch_size=MAX_RECORD_BYTES) as producer:
        batch = producer.create_batch()
        for record in records:
            taken = batch.append(
                timestamp=record.timestamp, key=record.key, value=record.value, headers=list(record.headers)
            )
            assert taken is not None
        await (await producer.send_batch(batch, place.topic, partition=place.partition))


async def read_log(address: str) -> list[Found]:
    """Every record of every topic, partition by partition."""
    async with open_admin(LogConnection(address)) as admin:
        described = await admin.describe_topics(None)
    places = sorted(
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        if not topic["topic"].startswith("__")
        for partition in topic["partitions"]
    )
    if not places:
        return []
    async with open_consumer(LogConnection(address), fetch_max_wait_ms=10) as consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, 0)
        found = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                found += [_found(place, record) for record in records]
    return sorted(found, key=lambda record: (record.place, record.offset))


async def commit(address: str, group: str, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
    """Commit offsets, each with its text, for a consumer group without members."""
    async with open_consumer(LogConnection(address), group_id=group) as consumer:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)


async def count_records(address: str, topic: str, *, partitions: int) -> int:
    """How many records a topic holds."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    async with open_consumer(LogConnection(address)) as consumer:
        return sum((await consumer.end_offsets(places)).values())


def _found(place: TopicPartition, record: Any) -> Found:
    return Found(
        place=place,
        offset=record.offset,
        written=Written(key=record.key, value=record.value, headers=record.headers, timestamp=record.timestamp),
    )
