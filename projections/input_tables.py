"""The inputs' temporary tables: a batch's records, parsed once for all projections that read them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import duckdb
import pyarrow as pa

from postcall.records import Position
from projections.batch import Batch, SetAside
from projections.definitions import INPUT_TABLES, load_input
from projections.sql_files import SqlFile

#: What one unreadable value makes DuckDB raise for a whole statement.
_DATA_ERRORS: Final = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.InvalidTypeException,
)


def open_inputs(connection: duckdb.DuckDBPyConnection, batch: Batch, names: Collection[str]) -> Batch:
    """Parse a batch into the inputs' temporary tables; returns it with what could not be read set aside."""
    files = [load_input(name) for name in INPUT_TABLES if name in names]
    table, refused = batch.table, list(batch.set_aside)
    try:
        _open(connection, table, files)
    except _DATA_ERRORS:
        unreadable = _find_unreadable(connection, table, files)
        if not unreadable:
            raise
        places = table.take(unreadable).select(["kafka_topic", "kafka_partition", "kafka_offset"])
        refused += _set_aside(zip(*places.to_pydict().values(), strict=True), "Its value is not JSON.")
        kept = sorted(set(range(table.num_rows)) - set(unreadable))
        table = table.take(pa.array(kept, pa.int64()))
        _open(connection, table, files)
    for file in files:
        places = connection.execute(file["set_aside"]).fetchall()
        refused += _set_aside(places, "Its value lacks what its type must have.")
    return replace(batch, table=table, set_aside=refused)


def drop_left_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop the temporary tables that a user's statements have left: they would stand before others of their names."""
    left = connection.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
    for (name,) in left:
        if name not in INPUT_TABLES.values():
            connection.execute(f'DROP TABLE temp."{name.replace(chr(34), chr(34) * 2)}"')


def _open(connection: duckdb.DuckDBPyConnection, table: pa.Table, files: Sequence[SqlFile]) -> None:
    connection.register("batch", table)
    for file in files:
        connection.execute(file["open"])


def _find_unreadable(
    connection: duckdb.DuckDBPyConnection, table: pa.Table, files: Sequence[SqlFile], start: int = 0
) -> list[int]:
    try:
        _open(connection, table, files)
    except _DATA_ERRORS:
        if table.num_rows == 1:
            return [start]
        half = table.num_rows // 2
        return [
            *_find_unreadable(connection, table.slice(0, half), files, start),
            *_find_unreadable(connection, table.slice(half), files, start + half),
        ]
    return []


def _set_aside(places: Iterable[Any], reason: str) -> list[SetAside]:
    return [
        SetAside(position=Position(topic=topic, partition=partition, offset=offset), reason=reason)
        for topic, partition, offset in places
    ]
