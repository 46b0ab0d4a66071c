"""Topics and partitions, and the catalogue of those that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from broker.errors import (
    InvalidPartitions,
    InvalidReplicationFactor,
    InvalidTopic,
    UnknownTopicId,
    UnknownTopicOrPartition,
)

MAX_PARTITIONS = 1000
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class PartitionKey(NamedTuple):
    """A partition of one incarnation of a topic: a topic created again has another number."""

    topic_number: int
    partition_index: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTopic:
    """A topic to create. Its configs are kept and described; none changes what the log does."""

    name: str
    partition_count: int
    configs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic(NewTopic):
    """A topic that exists."""

    topic_number: int
    topic_id: UUID

    def partition(self, partition_index: int) -> PartitionKey:
        """The key of one of its partitions.

        :raises UnknownTopicOrPartition: it has no partition of this index.
        """
        if not 0 <= partition_index < self.partition_count:
            raise UnknownTopicOrPartition
        return PartitionKey(self.topic_number, partition_index)


def check_new_topic(topic: NewTopic, replication_factor: int) -> None:
    """Check what a client asked to create; a replication factor of -1 leaves it to the broker.

    :raises InvalidTopic: the name is none.
    :raises InvalidPartitions: too few or too many partitions.
    :raises InvalidReplicationFactor: more copies than there are brokers.
    """
    if not _NAME.fullmatch(topic.name) or topic.name in {".", ".."}:
        raise InvalidTopic
    if not 1 <= topic.partition_count <= MAX_PARTITIONS:
        raise InvalidPartitions
    if replication_factor not in {-1, 1}:
        raise InvalidReplicationFactor


class Catalogue:
    """The topics that exist, by name and by id."""

    def __init__(self) -> None:
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[UUID, Topic] = {}
        self._by_number: dict[int, Topic] = {}

    def __iter__(self) -> Iterator[Topic]:
        return iter(sorted(self._by_name.values(), key=lambda topic: topic.name))

    def add(self, topic: Topic) -> None:
        """Make a topic known."""
        self._by_name[topic.name] = topic
        self._by_id[topic.topic_id] = topic
        self._by_number[topic.topic_number] = topic

    def remove(self, topic: Topic) -> None:
        """Make a topic unknown."""
        del self._by_name[topic.name]
        del self._by_id[topic.topic_id]
        del self._by_number[topic.topic_number]

    def has(self, name: str) -> bool:
        """Whether a topic of this name exists."""
        return name in self._by_name

    def named(self, name: str) -> Topic:
        """The topic of this name.

        :raises UnknownTopicOrPartition: there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownTopicOrPartition from None

    def identified(self, topic_id: UUID) -> Topic:
        """The topic of this id.

        :raises UnknownTopicId: there is none.
        """
        try:
            return self._by_id[topic_id]
        except KeyError:
            raise UnknownTopicId from None

    def numbered(self, topic_number: int) -> Topic | None:
        """The topic of this number, while it exists."""
        return self._by_number.get(topic_number)
