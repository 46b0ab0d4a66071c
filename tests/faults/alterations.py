"""What an operator, or the passing of time, may do to a log behind our back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from kafka import KafkaAdminClient

from postcall.kafka import append, open_admin, open_consumer, open_producer
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from tests.waiting import eventually


async def make_topic_anew(log: LogConnection, topic: str, records: Iterable[Record]) -> None:
    """Delete a topic and make it again, with these records and as many partitions as before."""
    partitions = len(await _partitions(log, topic))
    async with open_admin(log) as admin:
        await admin.delete_topics([topic])

    async def is_made() -> bool:
        # Deleting takes a moment, in which the topic is still there.
        return topic in (await create_topics(log, TopicSettings(partitions=partitions))).made

    await eventually(is_made)
    async with open_producer(log) as producer:
        await append(
            producer,
            [NewRecord(topic=topic, key=each.key, value=each.value, headers=each.headers) for each in records],
        )


async def delete_records(log: LogConnection, before: Mapping[TopicPartition, int]) -> None:
    """Let the log begin at these offsets, as retention would."""
    async with open_admin(log) as admin:
        await admin.delete_records({place: RecordsToDelete(before_offset=offset) for place, offset in before.items()})


async def add_partitions(log: LogConnection, topics: Iterable[str], *, total: int) -> None:
    """Let topics have so many partitions."""
    async with open_admin(log) as admin:
        await admin.create_partitions({topic: NewPartitions(total_count=total) for topic in topics})


async def forget_groups(log: LogConnection, groups: Iterable[str]) -> None:
    """Forget what groups have committed, as Kafka does a week after their last member left."""

    def forget() -> None:
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=log.bootstrap_servers)) as admin:
            said = admin.delete_groups(list(groups))
        assert set(said.values()) == {"OK"}, said

    await asyncio.to_thread(forget)


async def end_offsets(log: LogConnection, topic: str) -> dict[TopicPartition, int]:
    """Where each partition of a topic ends."""
    partitions = await _partitions(log, topic)
    async with open_consumer(log) as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    return ends


async def _partitions(log: LogConnection, topic: str) -> list[TopicPartition]:
    async with open_admin(log) as admin:
        (described,) = await admin.describe_topics([topic])
    return sorted(TopicPartition(topic, place["partition"]) for place in described["partitions"])
