"""A log in memory for tests of the merge rules: messages as the records that the real log would give back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postcall.log import encode
from postcall.messages import Message
from postcall.records import NewRecord, Record
from projections.batch import build_batch
from projections.definitions import PROJECTIONS, VIEWS
from projections.warehouse import Warehouse


@dataclass(frozen=True)
class Said:
    """A message, who said it and when."""

    message: Message
    at: datetime
    source: str = "layercode"

    def to_record(self) -> NewRecord:
        return encode(self.message, source=self.source, time=self.at)


def number_records(records: Iterable[NewRecord], *, partitions: int = 2) -> list[Record]:
    """Give records their places, in the order given."""
    ends: Counter[tuple[str, int]] = Counter()
    numbered = []
    for record in records:
        place = (record.topic, sum(record.key or b"") % partitions)
        numbered.append(
            Record(
                topic=record.topic,
                partition=place[1],
                offset=ends[place],
                timestamp_ms=0,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
        )
        ends[place] += 1
    return numbered


def apply_records(warehouse: Warehouse, records: Sequence[Record], *, batch_size: int | None = None) -> None:
    """Apply records in batches of a size, or in one."""
    size = batch_size or max(1, len(records))
    for start in range(0, len(records), size):
        warehouse.apply(build_batch(records[start : start + size]))


#: Everything public but the places of records, which are not part of what they say.
PUBLIC = [name for name in (*PROJECTIONS, *VIEWS) if name != "webhooks"]


def read_tables(warehouse: Warehouse, names: Iterable[str] = PUBLIC) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the public tables and views, sorted."""
    with warehouse.snapshot() as reader:
        return {name: reader.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in names}  # noqa: S608


def forget_all(warehouse: Warehouse) -> None:
    """Empty a warehouse; opening a new one takes a hundred times as long."""
    with warehouse.transaction() as writer:
        tables = "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name SIMILAR TO '.*_[0-9]+'"
        for (table,) in [*writer.execute(tables).fetchall(), ("base.checkpoints",)]:
            writer.execute(f"DELETE FROM {table}")  # noqa: S608 - a test's own tables
    # What it remembers of its checkpoints.
    warehouse.adopt(warehouse.definitions)
