"""Holding a warehouse against what the log's records make of it, and doing it harm."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from projections.definitions import DefinitionsSource
from projections.files import serving_path
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import PUBLIC, apply_records, number_records, read_tables
from tests.projections.service import Service

Tables = dict[str, list[tuple[Any, ...]]]


def tables_of(calls: range, data_dir: Path, *, more: tuple[str, ...] = ()) -> Tables:
    """What these calls make of an empty warehouse, without any fault."""
    warehouse = Warehouse(":memory:", DefinitionsSource(folder=data_dir / "sql").load())
    with contextlib.closing(warehouse):
        apply_records(warehouse, number_records(make_records(calls)))
        return read_tables(warehouse, (*PUBLIC, *more))


def hold_tables(calls: range, data_dir: Path, *, more: tuple[str, ...] = ()) -> None:
    """Hold that a warehouse which nobody has open is that of these calls, each record once."""
    warehouse = Warehouse(serving_path(data_dir), DefinitionsSource(folder=data_dir / "sql").load())
    with contextlib.closing(warehouse):
        assert read_tables(warehouse, (*PUBLIC, *more)) == tables_of(calls, data_dir, more=more)
        for table in ("webhooks", *({"turns_taken"} & warehouse.definitions.projections.keys())):
            columns = "count(*), count(DISTINCT (kafka_partition, kafka_offset))"
            with warehouse.snapshot() as reader:
                rows = reader.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608 - our own names
            assert rows == [(len(calls), len(calls))]


def has_rows(service: Service, table: str, at_least: int) -> Callable[[], Awaitable[bool]]:
    """Whether the service shows so many rows of a table."""

    async def check() -> bool:
        assert service.process.poll() is None, "the service ended by itself"
        return await service.count(table) >= at_least

    return check
