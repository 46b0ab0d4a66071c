"""Records of the log as one Arrow table, the `batch` that the SQL files read.

Opening happens in SQL; here only headers are read, and records that cannot be ours are set aside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import pyarrow as pa

from postcall.checksums import RecordContent, record_checksum
from postcall.errors import UnreadableRecord
from postcall.log import MESSAGE_TYPES
from postcall.records import Position
from postcall.topics import WEBHOOKS
from projections.definitions import INPUT_TABLES, input_of

_TYPES_BY_INPUT: Final[dict[str, frozenset[str]]] = {
    each: frozenset(name for name, kind in MESSAGE_TYPES.items() if input_of(kind.topic.name) == each)
    for each in INPUT_TABLES
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a batch takes one partition, from which record on."""

    first_offset: int
    next_offset: int
    record_checksum: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Records to apply together, and what they do to the checkpoints."""

    table: pa.Table
    progress: dict[tuple[str, int], Progress]
    set_aside: Sequence[SetAside] = ()

    @classmethod
    def empty(cls) -> Batch:
        """One without records."""
        return cls(table=BATCH_SCHEMA.empty_table(), progress={})

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """The inputs and types of its records."""
        pairs = self.table.select(["input", "type"]).group_by(["input", "type"]).aggregate([]).to_pydict()
        return set(zip(pairs["input"], pairs["type"], strict=True))

    def only(self, reads: Mapping[str, frozenset[str]]) -> Batch:
        """What of it is of these types of these inputs (no type = of all)."""
        kinds = self.table.select(["input", "type"]).to_pydict()
        is_read = [
            name in reads and (not reads[name] or kind in reads[name])
            for name, kind in zip(kinds["input"], kinds["type"], strict=True)
        ]
        return self if all(is_read) else replace(self, table=self.table.filter(pa.array(is_read, pa.bool_())))

    def after(self, offsets: Mapping[tuple[str, int], int]) -> Batch:
        """What of it is not before these offsets."""
        progress = {place: each for place, each in self.progress.items() if each.next_offset > offsets.get(place, 0)}
        if all(each.first_offset >= offsets.get(place, 0) for place, each in self.progress.items()):
            return self
        places = self.table.select(["kafka_topic", "kafka_partition", "kafka_offset"]).to_pydict()
        kept = [
            number
            for number, (topic, partition, offset) in enumerate(zip(*places.values(), strict=True))
            if offset >= offsets.get((topic, partition), 0)
        ]
        refused = [
            each
            for each in self.set_aside
            if each.position.offset >= offsets.get((each.position.topic, each.position.partition), 0)
        ]
        return Batch(table=self.table.take(pa.array(kept, pa.int64())), progress=progress, set_aside=refused)


def build_batch(records: Iterable[LogRecord]) -> Batch:
    """Make a batch; the records of a partition must come in the order of their offsets, and count once."""
    rows: list[tuple[Any, ...]] = []
    set_aside: list[SetAside] = []
    first: dict[tuple[str, int], int] = {}
    last: dict[tuple[str, int], LogRecord] = {}
    for record in records:
        place = record.topic, record.partition
        if place in last and record.offset <= last[place].offset:
            continue
        first.setdefault(place, record.offset)
        last[place] = record
        try:
            rows.append(_delivery_row(record) if record.topic == WEBHOOKS.name else _message_row(record))
        except UnreadableRecord as error:
            set_aside.append(SetAside(position=_position(record), reason=str(error)))
    progress = {
        place: Progress(
            first_offset=first[place], next_offset=record.offset + 1, record_checksum=record_checksum(record)
        )
        for place, record in last.items()
    }
    columns = list(zip(*rows, strict=True)) or [()] * len(BATCH_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, BATCH_SCHEMA, strict=True)]
    return Batch(table=pa.Table.from_arrays(arrays, schema=BATCH_SCHEMA), progress=progress, set_aside=set_aside)


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
    name = input_of(record.topic)
    headers = _headers(record)
    kind = headers.get("ce_type")
    if name is None or kind not in _TYPES_BY_INPUT[name]:
        raise UnreadableRecord("Its ce_type is none that belongs into this topic.")
    if "key-id" in headers or record.value is None:
        raise UnreadableRecord("Its value is sealed, or missing.")
    try:
        value = record.value.decode()
    except UnicodeDecodeError:
        raise UnreadableRecord("Its value is not UTF-8.") from None
    return (
        name,
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
