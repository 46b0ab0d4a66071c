"""Reading a large table slice by slice, where the engine would otherwise gather all of its rows in memory first.

What a GROUP BY or a window gathers is not all held to the engine's memory limit, so a copy of a million sessions would
take as much memory as they do. A range of session ids reaches down to the tables below, and bounds what is gathered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import duckdb

from projections.copying.contents import PublicTable, quoted

#: So many rows are gathered at once.
SLICE_ROWS: Final = 100_000
_KEY: Final = "session_id"
_SAMPLE_ROWS: Final = 10_000
_GATHERING: Final = ("GROUP_BY", "WINDOW")

#: A condition on the rows, and its parameters.
Slice = tuple[str, list[Any]]


def slices_of(reader: duckdb.DuckDBPyConnection, table: PublicTable, select: str) -> list[Slice]:
    """The slices that make up the table, each of its rows in one; a single one where that is as good."""
    whole: list[Slice] = [("", [])]
    if (_KEY, "VARCHAR") not in table.columns or not _gathers(reader, select):
        return whole
    (rows,) = reader.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone() or (0,)  # noqa: S608 - a name of the catalog, quoted
    if rows <= SLICE_ROWS:
        return whole
    return list(_between(_bounds(reader, table.name, count=-(-rows // SLICE_ROWS))))


def _gathers(reader: duckdb.DuckDBPyConnection, select: str) -> bool:
    plan = " ".join(text for _, text in reader.execute(f"EXPLAIN {select}").fetchall())
    return any(operator in plan for operator in _GATHERING)


def _bounds(reader: duckdb.DuckDBPyConnection, name: str, *, count: int) -> list[str]:
    sample = f"(SELECT {_KEY} FROM {quoted(name)}) USING SAMPLE {_SAMPLE_ROWS}"  # noqa: S608 - as above
    places = [place / count for place in range(1, count)]
    row = reader.execute(f"SELECT quantile_disc({_KEY}, {places}) FROM {sample}").fetchone()  # noqa: S608 - as above
    return sorted(set(row[0])) if row and row[0] else []


def _between(bounds: list[str]) -> Iterator[Slice]:
    if not bounds:
        yield "", []
        return
    yield f" WHERE {_KEY} < ? OR {_KEY} IS NULL", [bounds[0]]
    for low, high in pairwise(bounds):
        yield f" WHERE {_KEY} >= ? AND {_KEY} < ?", [low, high]
    yield f" WHERE {_KEY} >= ?", [bounds[-1]]
