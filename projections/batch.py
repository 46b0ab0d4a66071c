"""Records of the log as one Arrow table, the `batch` that the SQL files read.

Opening happens in SQL; here only headers are read, and records that cannot be ours are set aside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pyarrow as pa

from postcall.checksums import RecordContent, record_checksum
from postcall.errors import UnreadableRecord
from postcall.log import MESSAGE_TYPES
from postcall.records import Position
from postcall.topics import WEBHOOKS
from projections.sql_files import INPUT_TOPICS

_INPUTS_BY_TOPIC: Final = {topic: name for name, topic in INPUT_TOPICS.items()}
_TYPES_BY_TOPIC: Final[dict[str, frozenset[str]]] = {
    topic: frozenset(name for name, kind in MESSAGE_TYPES.items() if kind.topic.name == topic)
    for topic in INPUT_TOPICS.values()
}

BATCH_SCHEMA: Final = pa.schema(
    [
        ("input", pa.string()),
        ("kafka_topic", pa.string()),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
        ("type", pa.string()),
        ("source", pa.string()),
        ("session_id", pa.string()),
        ("recorded_at", pa.string()),
        ("value", pa.large_string()),
        ("receipt_id", pa.string()),
        ("signature", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
    ]
)


class LogRecord(RecordContent, Protocol):
    """What a batch needs of a record: both our own `Record` and aiokafka's have it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAside:
    """A record that the projections cannot use: where it lies, and why in words without its content."""

    position: Position
    reason: str


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far a batch takes one partition."""

    next_offset: int
    record_checksum: str
    set_aside: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Records to apply together, and what they do to the checkpoints."""

    table: pa.Table
    progress: dict[tuple[str, int], Progress]
    set_aside: list[SetAside] = field(default_factory=list)

    @property
    def inputs(self) -> frozenset[str]:
        """The inputs whose partitions this batch takes further."""
        return frozenset(_INPUTS_BY_TOPIC[topic] for topic, _ in self.progress)

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """The inputs and types of its records."""
        pairs = self.table.select(["input", "type"]).group_by(["input", "type"]).aggregate([]).to_pydict()
        return set(zip(pairs["input"], pairs["type"], strict=True))


def build_batch(records: Iterable[LogRecord]) -> Batch:
    """Make a batch; the records of a partition must come in the order of their offsets."""
    rows: list[tuple[Any, ...]] = []
    set_aside: list[SetAside] = []
    last: dict[tuple[str, int], LogRecord] = {}
    for record in records:
        last[record.topic, record.partition] = record
        try:
            rows.append(_delivery_row(record) if record.topic == WEBHOOKS.name else _message_row(record))
        except UnreadableRecord as error:
            set_aside.append(SetAside(position=_position(record), reason=str(error)))
    progress = {
        place: Progress(next_offset=record.offset + 1, record_checksum=record_checksum(record))
        for place, record in last.items()
    }
    columns = list(zip(*rows, strict=True)) or [()] * len(BATCH_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, BATCH_SCHEMA, strict=True)]
    batch = Batch(table=pa.Table.from_arrays(arrays, schema=BATCH_SCHEMA), progress=progress)
    note_set_aside(batch, set_aside)
    return batch


def note_set_aside(batch: Batch, set_aside: Iterable[SetAside]) -> None:
    """Count records of this batch as set aside."""
    for refused in set_aside:
        batch.set_aside.append(refused)
        batch.progress[refused.position.topic, refused.position.partition].set_aside += 1


def _delivery_row(record: LogRecord) -> tuple[Any, ...]:
    headers = _headers(record)
    body = record.value or b""
    return (
        "webhooks",
        record.topic,
        record.partition,
        record.offset,
        headers.get("event-type"),
        headers.get("source"),
        record.key.decode("utf-8", "replace") if record.key is not None else None,
        headers.get("received-at"),
        None,
        headers.get("receipt-id"),
        headers.get("signature"),
        hashlib.sha256(body).hexdigest(),
        len(body),
    )


def _message_row(record: LogRecord) -> tuple[Any, ...]:
    headers = _headers(record)
    kind = headers.get("ce_type")
    if kind not in _TYPES_BY_TOPIC[record.topic]:
        raise UnreadableRecord("Its ce_type is none that belongs into this topic.")
    if "key-id" in headers or record.value is None:
        raise UnreadableRecord("Its value is sealed, or missing.")
    try:
        value = record.value.decode()
    except UnicodeDecodeError:
        raise UnreadableRecord("Its value is not UTF-8.") from None
    return (
        _INPUTS_BY_TOPIC[record.topic],
        record.topic,
        record.partition,
        record.offset,
        kind,
        headers.get("ce_source"),
        headers.get("ce_subject"),
        headers.get("ce_time"),
        value,
        None,
        None,
        None,
        None,
    )


def _headers(record: LogRecord) -> dict[str, str]:
    try:
        # Reversed, so that the first of two equal names counts, as everywhere.
        return {name: value.decode() for name, value in reversed(record.headers)}
    except (UnicodeDecodeError, AttributeError):
        raise UnreadableRecord("One of its headers is not UTF-8.") from None


def _position(record: LogRecord) -> Position:
    return Position(topic=record.topic, partition=record.partition, offset=record.offset)
