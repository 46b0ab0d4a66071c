"""The embedded log as a whole: it starts, serves a plain client, and stops."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer

from tests.broker.conftest import CreateTopic


async def test_a_produced_record_gets_the_first_offset(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with AIOKafkaProducer(bootstrap_servers=log_address) as producer:
        placed = await producer.send_and_wait(topic, b"hello")
    assert (placed.partition, placed.offset) == (0, 0)
