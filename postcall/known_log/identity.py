"""What identifies a log, as it is now: its cluster, and of each topic the id, the partitions and what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict

from postcall.errors import LogUnavailable
from postcall.kafka import open_consumer
from postcall.known_log.metadata import ClusterMetadata, read_metadata
from postcall.log_connection import LogConnection
from postcall.topics import ALL_TOPICS

_TOPICS: Final = tuple(topic.name for topic in ALL_TOPICS)


class OffsetRange(BaseModel):
    """What a partition holds: from the log start offset up to, and without, the log end offset."""

    model_config = ConfigDict(frozen=True)

    start: int
    end: int


class TopicIdentity(BaseModel):
    """One topic. `topic_id` is None where the log gives none."""

    model_config = ConfigDict(frozen=True)

    topic_id: str | None
    partitions: tuple[OffsetRange, ...]


class LogIdentity(BaseModel):
    """A log at one moment, with those of our topics that it has."""

    model_config = ConfigDict(frozen=True)

    cluster_id: str | None
    topics: dict[str, TopicIdentity]

    def has_same_ids(self, other: LogIdentity, topic: str) -> bool:
        """Whether both are the same cluster, and the topic is the same with as many partitions."""
        mine, its = self.topics.get(topic), other.topics.get(topic)
        if mine is None or its is None:
            return False
        return (self.cluster_id, mine.topic_id, len(mine.partitions)) == (
            other.cluster_id,
            its.topic_id,
            len(its.partitions),
        )

    def partition_counts(self) -> dict[str, int]:
        """How many partitions each topic has."""
        return {name: len(topic.partitions) for name, topic in self.topics.items()}


async def read_identity(log: LogConnection, topics: Iterable[str] = _TOPICS) -> LogIdentity:
    """Ask the log what it is now, for those of the topics that it has.

    :raises LogUnavailable: it does not answer.
    """
    metadata = await read_metadata(log, list(topics))
    if not metadata.topics:
        return LogIdentity(cluster_id=metadata.cluster_id, topics={})
    places = [
        TopicPartition(name, partition)
        for name, topic in metadata.topics.items()
        for partition in range(topic.partition_count)
    ]
    try:
        async with open_consumer(log) as consumer:
            # Else aiokafka learns of one topic at each retry, a tenth of a second apart.
            await consumer._client.set_topics(list(metadata.topics))  # noqa: SLF001 - there is no other way
            starts = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error
    return _put_together(metadata, {place: OffsetRange(start=starts[place], end=ends[place]) for place in places})


def _put_together(metadata: ClusterMetadata, ranges: dict[TopicPartition, OffsetRange]) -> LogIdentity:
    topics = {
        name: TopicIdentity(
            topic_id=topic.topic_id,
            partitions=tuple(ranges[TopicPartition(name, number)] for number in range(topic.partition_count)),
        )
        for name, topic in metadata.topics.items()
    }
    return LogIdentity(cluster_id=metadata.cluster_id, topics=topics)
