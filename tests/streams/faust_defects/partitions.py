"""One topic for all of these tests: records put into chosen partitions, and what a group has committed there."""

from __future__ import annotations

import asyncio

from postcall.kafka import open_producer
from postcall.log_connection import LogConnection
from postcall.topics import WEBHOOKS
from streams.group_offsets import read_committed
from tests.streams.log_contents import PARTITIONS

TOPIC = WEBHOOKS
#: The consumer group of the stage that reads it.
STAGE_GROUP = "postcall.normalize"
#: The one that plain apps are in.
PLAIN_GROUP = "plain"


async def append_values(log: str, partition: int, *values: bytes) -> None:
    """Append records without keys to a partition, in order."""
    async with open_producer(LogConnection(log)) as producer:
        await asyncio.gather(*[await producer.send(TOPIC.name, value, partition=partition) for value in values])


async def committed(log: str, group: str) -> dict[int, int]:
    """What a group has committed, by partition."""
    return await read_committed(LogConnection(log), group, TOPIC, partitions=PARTITIONS)


async def has_committed(log: str, group: str, partition: int, offset: int) -> bool:
    """Whether a group has committed this or more."""
    return (await committed(log, group)).get(partition, 0) >= offset
