"""Making topics with aiokafka."""

from __future__ import annotations

from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from broker.record_batches import MAX_BATCH_BYTES


class CreateTopic(Protocol):
    """The fixture `create_topic`."""

    async def __call__(self, name: str = "calls", *, partitions: int = 1) -> str: ...


async def create_topics(address: str, *names: str, partitions: int = 1) -> None:
    """Create topics on the log at an address; returns when each partition has its leader."""
    configs = {"max.message.bytes": str(MAX_BATCH_BYTES)}
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        response = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs) for name in names])
    finally:
        await admin.close()
    assert all(code == 0 for _, code, *_ in response.topic_errors)
    await wait_for_leaders(address, *(TopicPartition(name, index) for name in names for index in range(partitions)))


async def wait_for_leaders(address: str, *partitions: TopicPartition) -> None:
    """Return once new partitions can be written to."""
    async with AIOKafkaConsumer(bootstrap_servers=address) as consumer:
        # Apache Kafka knows a topic a moment before it leads it; unlike the wire client, this one asks again.
        await consumer.end_offsets(partitions)
