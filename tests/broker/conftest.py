"""What the embedded log's tests share: topics to make, and the log as a process that can be killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

CreateTopic = Callable[..., Awaitable[str]]


@pytest.fixture
async def create_topic(log_address: str) -> AsyncIterator[CreateTopic]:
    """Create a topic: `await create_topic("calls", partitions=2)` returns its name."""
    admin = AIOKafkaAdminClient(bootstrap_servers=log_address)
    await admin.start()

    async def create(name: str = "calls", *, partitions: int = 1) -> str:
        await admin.create_topics([NewTopic(name, partitions, 1)])
        return name

    yield create
    await admin.close()
