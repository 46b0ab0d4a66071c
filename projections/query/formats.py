"""Answers as JSON, CSV or Arrow, written in the child, so that a large one costs the service nothing.

Times are ISO 8601 in UTC, decimals are numbers, JSON columns are JSON values. In CSV a text that a spreadsheet would
take for a formula gets a leading apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final, Protocol

import duckdb
import orjson
import pyarrow as pa

_FETCH_ROWS: Final = 1_000
_ARROW_BATCH_ROWS: Final = 50_000
_WIDE_INTEGERS: Final = frozenset({"HUGEINT", "UHUGEINT", "BIGNUM"})
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")

Head = dict[str, Any]


class Writer(Protocol):
    """Writes at most `max_rows` rows of a result; the head says whether there were more."""

    def __call__(self, cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, list[bytes]]:
        """The head of the answer, and its body."""


def write_json(cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, list[bytes]]:
    """An object with the columns and the rows, each row an object."""
    columns = _columns(cursor)
    names = [column["name"] for column in columns]
    converters = _converters(columns)
    head: Head = {"columns": columns, "row_count": 0, "is_truncated": False}
    chunks = [b'{"columns":' + orjson.dumps(columns) + b',"rows":[']
    for rows in _row_groups(cursor, max_rows, head):
        objects = [dict(zip(names, _convert(row, converters), strict=True)) for row in rows]
        if len(chunks) > 1:
            chunks.append(b",")
        chunks.append(_dump(objects)[1:-1])
    facts = orjson.dumps({"row_count": head["row_count"], "is_truncated": head["is_truncated"]})
    return head, [*chunks, b"]," + facts[1:]]


def write_csv(cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, list[bytes]]:
    """RFC 4180 with a header line."""
    columns = _columns(cursor)
    head: Head = {"columns": columns, "row_count": 0, "is_truncated": False}
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow([_escape_formula(column["name"]) for column in columns])
    chunks = [_take(sheet)]
    for rows in _row_groups(cursor, max_rows, head):
        writer.writerows([_cell(value) for value in row] for row in rows)
        chunks.append(_take(sheet))
    return head, chunks


def write_arrow(cursor: duckdb.DuckDBPyConnection, *, max_rows: int) -> tuple[Head, list[bytes]]:
    """An Arrow IPC stream."""
    head: Head = {"columns": _columns(cursor), "row_count": 0, "is_truncated": False}
    sink = io.BytesIO()
    reader = cursor.to_arrow_reader(_ARROW_BATCH_ROWS)
    with pa.ipc.new_stream(sink, reader.schema) as writer:
        for batch in reader:
            room = max_rows - head["row_count"]
            head["is_truncated"] = batch.num_rows > room
            writer.write_batch(batch.slice(0, room))
            head["row_count"] += min(room, batch.num_rows)
            if head["is_truncated"]:
                break
    return head, [sink.getvalue()]


WRITERS: Final[dict[str, Writer]] = {"json": write_json, "csv": write_csv, "arrow": write_arrow}


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


Converter = Callable[[Any], Any] | None


def _converters(columns: list[dict[str, str]]) -> list[Converter]:
    return [_converter(column["type"]) for column in columns]


def _converter(kind: str) -> Converter:
    if kind == "JSON":
        return orjson.Fragment
    if kind in _WIDE_INTEGERS:
        return lambda value: orjson.Fragment(str(value))
    return None


def _convert(row: tuple[Any, ...], converters: list[Converter]) -> Iterator[Any]:
    for value, converter in zip(row, converters, strict=True):
        yield value if value is None or converter is None else converter(value)


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, default=_default, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return _escape_formula(value)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    # All else as JSON writes it, without the quotes of a plain text.
    text = _dump(value).decode()
    return text[1:-1] if text.startswith('"') else text


def _escape_formula(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def _take(sheet: io.StringIO) -> bytes:
    text = sheet.getvalue()
    sheet.seek(0)
    sheet.truncate()
    return text.encode()
