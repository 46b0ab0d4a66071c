"""Checkpoints: how far each build of a projection has read each partition, as the warehouse keeps them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from postcall.known_log.identity import LogIdentity
from postcall.known_log.positions import ReadPosition
from projections.batch import Progress

#: Topic and partition.
Place = tuple[str, int]
#: A build, by its projection and its number.
BuildKey = tuple[str, int]

_PLACE_FIELDS: Final = [
    ("projection", pa.string()),
    ("build", pa.int32()),
    ("kafka_topic", pa.string()),
    ("kafka_partition", pa.int32()),
    ("next_offset", pa.int64()),
]
_PLACE_SCHEMA: Final = pa.schema(_PLACE_FIELDS)
_PROGRESS_SCHEMA: Final = pa.schema(
    [*_PLACE_FIELDS, ("record_checksum", pa.string()), ("set_aside", pa.int64())],
)
_LOG_SCHEMA: Final = pa.schema(
    [*_PLACE_FIELDS, ("cluster_id", pa.string()), ("topic_id", pa.string()), ("partition_count", pa.int32())]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Where a build goes on in one partition, and what it remembers of the log there."""

    build: BuildKey
    position: ReadPosition


def place_of(position: ReadPosition) -> Place:
    """The partition that a position is in."""
    return position.topic, position.partition


def least_far(checkpoints: Iterable[Checkpoint]) -> dict[Place, ReadPosition]:
    """Of the builds that have read in a partition, the position that is least far."""
    found: dict[Place, ReadPosition] = {}
    for checkpoint in checkpoints:
        position = checkpoint.position
        known = found.get(place_of(position))
        if known is None or _farness(position) < _farness(known):
            found[place_of(position)] = position
    return found


def _farness(position: ReadPosition) -> tuple[int, bool]:
    return position.next_offset, position.is_proven


def progress_table(
    progress: Mapping[Place, Progress], set_aside: Mapping[Place, int], topics: Mapping[BuildKey, Collection[str]]
) -> pa.Table:
    """What a batch does to the checkpoints of these builds, each of which follows some topics."""
    rows = [
        _place_row(build, place, each.next_offset)
        | {"record_checksum": each.record_checksum, "set_aside": set_aside.get(place, 0)}
        for build, followed in topics.items()
        for place, each in progress.items()
        if place[0] in followed
    ]
    return pa.Table.from_pylist(rows, schema=_PROGRESS_SCHEMA)


def place_table(checkpoints: Iterable[Checkpoint]) -> pa.Table:
    """Where each of these builds goes on."""
    rows = [
        _place_row(checkpoint.build, place_of(checkpoint.position), checkpoint.position.next_offset)
        for checkpoint in checkpoints
    ]
    return pa.Table.from_pylist(rows, schema=_PLACE_SCHEMA)


def log_table(log: LogIdentity, topics: Mapping[BuildKey, Iterable[str]]) -> pa.Table:
    """What the log is now, for every build and partition: its ids, and from where on it has records."""
    rows = [
        _place_row(build, (topic, partition), held.start)
        | {
            "cluster_id": log.cluster_id,
            "topic_id": log.topics[topic].topic_id,
            "partition_count": len(log.topics[topic].partitions),
        }
        for build, followed in topics.items()
        for topic in sorted(followed)
        for partition, held in enumerate(log.topics[topic].partitions)
    ]
    return pa.Table.from_pylist(rows, schema=_LOG_SCHEMA)


def _place_row(build: BuildKey, place: Place, next_offset: int) -> dict[str, object]:
    return {
        "projection": build[0],
        "build": build[1],
        "kafka_topic": place[0],
        "kafka_partition": place[1],
        "next_offset": next_offset,
    }
