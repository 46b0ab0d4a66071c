"""Making topics with aiokafka."""

from __future__ import annotations

from typing import Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic


class CreateTopic(Protocol):
    """The fixture `create_topic`."""

    async def __call__(self, name: str = "calls", *, partitions: int = 1) -> str: ...


async def create_topics(address: str, *names: str, partitions: int = 1) -> None:
    """Create topics on the log at an address."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        response = await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    finally:
        await admin.close()
    assert all(code == 0 for _, code, *_ in response.topic_errors)
