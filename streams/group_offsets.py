"""The committed offsets of a stage's consumer group: read, and set before the stage joins it."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer
from postcall.log_connection import LogConnection
from postcall.topics import Topic


async def read_committed(log: LogConnection, group: str, topic: Topic, *, partitions: int) -> dict[int, int]:
    """What the group has committed, by partition; those that it has not are left out.

    :raises LogUnavailable: the log does not answer.
    """
    places = [TopicPartition(topic.name, partition) for partition in range(partitions)]
    try:
        async with open_consumer(log, group_id=group) as consumer:
            consumer.assign(places)
            found = {place.partition: await consumer.committed(place) for place in places}
    except KafkaError as error:
        raise LogUnavailable(f"The log does not tell the offsets of {group}: {error!r}.") from error
    return {partition: offset for partition, offset in found.items() if offset is not None}


async def commit_for_group(log: LogConnection, group: str, topic: Topic, offsets: Mapping[int, int]) -> bool:
    """Commit for a group that has no members; False if it has some, which may alone commit.

    :raises LogUnavailable: the log does not answer.
    """
    places = {TopicPartition(topic.name, partition): offset for partition, offset in offsets.items()}
    try:
        async with open_consumer(log, group_id=group) as consumer:
            consumer.assign(list(places))
            await consumer.commit(places)
    except CommitFailedError:
        return False
    except KafkaError as error:
        raise LogUnavailable(f"The log does not take the offsets of {group}: {error!r}.") from error
    return True
