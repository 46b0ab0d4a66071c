"""Checkpoints: how far each projection has read each partition, as the warehouse keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from postcall.known_log.identity import LogIdentity
from postcall.known_log.positions import ReadPosition
from projections.batch import Batch
from projections.sql_files import INPUT_TOPICS, PROJECTIONS, SqlFile, load_sql

_PLACE_FIELDS: Final = [
    ("projection", pa.string()),
    ("kafka_topic", pa.string()),
    ("kafka_partition", pa.int32()),
    ("next_offset", pa.int64()),
]
_PROGRESS_SCHEMA: Final = pa.schema(
    [*_PLACE_FIELDS, ("record_checksum", pa.string()), ("set_aside", pa.int64())],
)
_LOG_SCHEMA: Final = pa.schema(
    [*_PLACE_FIELDS, ("cluster_id", pa.string()), ("topic_id", pa.string()), ("partition_count", pa.int32())]
)


_PLACE_SCHEMA: Final = pa.schema(_PLACE_FIELDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Where a projection goes on in one partition, and what it remembers of the log there."""

    projection: str
    position: ReadPosition


def topics_of(projection: str) -> frozenset[str]:
    """The topics that a projection follows."""
    return frozenset(INPUT_TOPICS[name] for name in load_sql(projection).reads)


def least_far(checkpoints: Iterable[Checkpoint]) -> dict[tuple[str, int], ReadPosition]:
    """Of the projections that follow a partition, the position that is least far; none where one has read nothing."""
    found: dict[tuple[str, int], dict[str, ReadPosition]] = {}
    for checkpoint in checkpoints:
        position = checkpoint.position
        found.setdefault((position.topic, position.partition), {})[checkpoint.projection] = position
    return {
        place: min(positions.values(), key=lambda position: (position.next_offset, position.is_proven))
        for place, positions in found.items()
        if positions.keys() >= {name for name in PROJECTIONS if place[0] in topics_of(name)}
    }


def progress_table(batch: Batch, projections: Iterable[SqlFile]) -> pa.Table:
    """What a batch does to the checkpoints of these projections."""
    rows = [
        {
            "projection": projection.name,
            "kafka_topic": topic,
            "kafka_partition": partition,
            "next_offset": progress.next_offset,
            "record_checksum": progress.record_checksum,
            "set_aside": progress.set_aside,
        }
        for projection in projections
        for (topic, partition), progress in batch.progress.items()
        if topic in topics_of(projection.name)
    ]
    return pa.Table.from_pylist(rows, schema=_PROGRESS_SCHEMA)


def place_table(checkpoints: Iterable[Checkpoint]) -> pa.Table:
    """Where each of these projections goes on."""
    rows = [
        {
            "projection": checkpoint.projection,
            "kafka_topic": checkpoint.position.topic,
            "kafka_partition": checkpoint.position.partition,
            "next_offset": checkpoint.position.next_offset,
        }
        for checkpoint in checkpoints
    ]
    return pa.Table.from_pylist(rows, schema=_PLACE_SCHEMA)


def log_table(log: LogIdentity) -> pa.Table:
    """What the log is now, for every projection and partition: its ids, and from where on it has records."""
    rows = [
        {
            "projection": projection,
            "kafka_topic": topic,
            "kafka_partition": partition,
            "next_offset": held.start,
            "cluster_id": log.cluster_id,
            "topic_id": log.topics[topic].topic_id,
            "partition_count": len(log.topics[topic].partitions),
        }
        for projection in PROJECTIONS
        for topic in sorted(topics_of(projection))
        for partition, held in enumerate(log.topics[topic].partitions)
    ]
    return pa.Table.from_pylist(rows, schema=_LOG_SCHEMA)
