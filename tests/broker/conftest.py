"""What the embedded log's tests share: topics to make, and a plain producer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from tests.broker.admin import CreateTopic, create_topics


@pytest.fixture
def create_topic(log_address: str) -> CreateTopic:
    """Create a topic: `await create_topic("calls", partitions=2)` returns its name."""

    async def create(name: str = "calls", *, partitions: int = 1) -> str:
        await create_topics(log_address, name, partitions=partitions)
        return name

    return create


@pytest.fixture
async def producer(log_address: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer without a batch delay."""
    async with AIOKafkaProducer(bootstrap_servers=log_address, request_timeout_ms=10_000) as producer:
        yield producer
