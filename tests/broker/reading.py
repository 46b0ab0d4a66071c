"""Reading a topic from its start with aiokafka."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer


async def read_values(address: str, topic: str, *, count: int) -> list[bytes]:
    """The first `count` values of a topic, partition by partition as they come."""
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=address, auto_offset_reset="earliest", fetch_max_wait_ms=100
    ) as consumer:
        return [(await consumer.getone()).value for _ in range(count)]
