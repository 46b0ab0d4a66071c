"""Answers as JSON, CSV, Arrow or Parquet, written in the child, so that a large one costs the service nothing.

Of columns with one name the later ones get a number. How single values look stands in `values`.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Protocol

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet

from projections.query.values import Converter, dump_json, find_converter, make_cell, make_text_cell

_FETCH_ROWS: Final = 1_000
_ARROW_BATCH_ROWS: Final = 50_000

Head = dict[str, Any]
Body = list[bytes | memoryview]


class Writer(Protocol):
    """Writes at most `max_rows` rows of a result; the head says whether there were more."""

    def __call__(self, cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, Body]:
        """The head of the answer, and its body."""


def write_json(cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, Body]:
    """An object with the columns and the rows, each row an object."""
    head = _make_head(cursor)
    names = [column["name"] for column in head["columns"]]
    converters = [find_converter(column["type"]) for column in head["columns"]]
    chunks: Body = [b'{"columns":' + dump_json(head["columns"]) + b',"rows":[']
    for rows in _row_groups(cursor, max_rows, head):
        objects = [dict(zip(names, _convert(row, converters), strict=True)) for row in rows]
        if len(chunks) > 1:
            chunks.append(b",")
        chunks.append(dump_json(objects)[1:-1])
    facts = orjson.dumps({"row_count": head["row_count"], "is_truncated": head["is_truncated"]})
    return head, [*chunks, b"]," + facts[1:]]


def write_csv(cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, Body]:
    """RFC 4180 with a header line."""
    head = _make_head(cursor)
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow([make_text_cell(column["name"]) for column in head["columns"]])
    chunks: Body = [_take(sheet)]
    for rows in _row_groups(cursor, max_rows, head):
        writer.writerows([make_cell(value) for value in row] for row in rows)
        chunks.append(_take(sheet))
    return head, chunks


def write_arrow(cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, Body]:
    """An Arrow IPC stream."""
    head = _make_head(cursor)
    sink = io.BytesIO()
    schema, batches = _read_batches(cursor, max_rows, head)
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return head, [sink.getbuffer()]


def write_parquet(cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, Body]:
    """A Parquet file, made in memory."""
    head = _make_head(cursor)
    sink = io.BytesIO()
    schema, batches = _read_batches(cursor, max_rows, head)
    with pa.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    return head, [sink.getbuffer()]


WRITERS: Final[dict[str, Writer]] = {
    "json": write_json,
    "csv": write_csv,
    "arrow": write_arrow,
    "parquet": write_parquet,
}


def _make_head(cursor: duckdb.DuckDBPyConnection) -> Head:
    return {"columns": _columns(cursor), "row_count": 0, "is_truncated": False}


def _columns(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, str]]:
    """Names and types; of equal names the later ones get a number, since rows are objects."""
    seen: Counter[str] = Counter()
    columns = []
    for name, kind, *_ in cursor.description or []:
        seen[name] += 1
        columns.append({"name": name if seen[name] == 1 else f"{name}_{seen[name]}", "type": str(kind)})
    return columns


def _row_groups(cursor: duckdb.DuckDBPyConnection, max_rows: int, head: Head) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(_FETCH_ROWS):
        room = max_rows - head["row_count"]
        head["is_truncated"] = len(rows) > room
        head["row_count"] += min(room, len(rows))
        if room > 0:
            yield rows[:room]
        if head["is_truncated"]:
            return


def _read_batches(
    cursor: duckdb.DuckDBPyConnection, max_rows: int, head: Head
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    names = [column["name"] for column in head["columns"]]
    reader = cursor.to_arrow_reader(_ARROW_BATCH_ROWS)
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    return schema, _cut_batches((batch.rename_columns(names) for batch in reader), max_rows, head)


def _cut_batches(batches: Iterator[pa.RecordBatch], max_rows: int, head: Head) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        room = max_rows - head["row_count"]
        head["is_truncated"] = batch.num_rows > room
        head["row_count"] += min(room, batch.num_rows)
        if room > 0:
            yield batch.slice(0, room)
        if head["is_truncated"]:
            return


def _convert(row: tuple[Any, ...], converters: list[Converter]) -> Iterator[Any]:
    for value, converter in zip(row, converters, strict=True):
        yield value if value is None or converter is None else converter(value)


def _take(sheet: io.StringIO) -> bytes:
    text = sheet.getvalue()
    sheet.seek(0)
    sheet.truncate()
    return text.encode()
