"""What a statement reads of each table: found in the plans that the engine makes for it over empty tables.

For the columns, the only optimizer at work is the one that drops unused ones. Nothing can be pushed into a scan then,
or concluded from a table's being empty, and a scan's list of columns is the whole of what the statement takes there.

For the rows, filters are pushed down too. Where every scan of a table keeps only the rows in which a column is a text
that stands in the statement, other rows change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import orjson

from projections.query.catalog import Catalog

_PREFIX: Final = "EXPLAIN (FORMAT json) "
_FOR_COLUMNS: Final = frozenset({"unused_columns"})
_FOR_ROWS: Final = frozenset({"unused_columns", "filter_pushdown"})
_PLAIN_NAME: Final = re.compile(r"\w+", re.ASCII)
_EQUALITY: Final = re.compile(r"(\w+)='((?:[^']|'')*)'", re.ASCII)

Parameters = list[Any] | dict[str, Any] | None
#: By table, as the plan writes its name: per scan, the columns and the filters.
_Scans = dict[str, list[tuple[list[str], list[str]]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scanned:
    """Columns that are read of a table, and texts that columns have in all rows that are read."""

    columns: frozenset[str]
    equal: dict[str, str]


def find_scanned(
    database: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters, texts: frozenset[str] = frozenset()
) -> dict[str, Scanned] | None:
    """What is read, by table (as the plan writes its name); None if the plan cannot be told from its text.

    :param texts: those that stand in the statement or its parameters.
    :raises duckdb.Error: as the statement itself would, but for the place: see `shift_position`.
    """
    scans = _plan(database, sql, parameters, _FOR_COLUMNS)
    if scans is None:
        return None
    filtered = _plan(database, sql, parameters, _FOR_ROWS) if _can_be_told(texts) else None
    return {
        table: Scanned(
            columns=frozenset(name for columns, _ in found for name in columns),
            equal=_find_equal((filtered or {}).get(table, []), texts),
        )
        for table, found in scans.items()
    }


def shift_position(position: int) -> int:
    """Where in the statement an error is that `find_scanned` raised, from where the engine says it is."""
    return position - len(_PREFIX)


def choose_columns(table: str, scanned: Scanned, catalog: Catalog) -> list[str]:
    """The columns of a table to ask for, in the catalog's order; all of them unless the plan's names are plain."""
    names = [name for name, _ in catalog["tables"][table]]
    if not scanned.columns <= set(names) or not all(map(_PLAIN_NAME.fullmatch, names)):
        return names
    return [name for name in names if name in scanned.columns]


def choose_equal(table: str, scanned: Scanned, catalog: Catalog) -> dict[str, str]:
    """The texts of columns to ask for; only columns of texts are compared with texts as they stand."""
    kinds = dict(catalog["tables"][table])
    return {name: text for name, text in scanned.equal.items() if kinds.get(name) == "VARCHAR"}


def _plan(
    database: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters, optimizers: frozenset[str]
) -> _Scans | None:
    known = (name for (name,) in database.execute("SELECT name FROM duckdb_optimizers()").fetchall())
    database.execute(f"SET disabled_optimizers = '{','.join(name for name in known if name not in optimizers)}'")
    try:
        if [statement.type.name for statement in database.extract_statements(_PREFIX + sql)] != ["EXPLAIN"]:
            return None
        plans = database.execute(_PREFIX + sql, parameters).fetchall()
    finally:
        database.execute("RESET disabled_optimizers")
    try:
        return _read_scans([orjson.loads(plan) for _, plan in plans])
    except orjson.JSONDecodeError:
        # It nests too deeply.
        return None


def _read_scans(plans: list[Any]) -> _Scans:
    scans: _Scans = {}
    for node in _nodes(plans):
        facts = node["extra_info"]
        if "Table" in facts:
            scans.setdefault(facts["Table"], []).append(
                (_lines(facts.get("Projections", [])), _lines(facts.get("Filters", [])))
            )
    return scans


def _lines(text: str | list[str]) -> list[str]:
    return [line for line in ([text] if isinstance(text, str) else text) if line]


def _can_be_told(texts: frozenset[str]) -> bool:
    # A plan gives each line of a filter apart, so that a text of several lines could pass for other filters.
    return bool(texts) and not any("\n" in text for text in texts)


def _find_equal(scans: list[tuple[list[str], list[str]]], texts: frozenset[str]) -> dict[str, str]:
    found = [set(_equalities(filters, texts)) for _, filters in scans]
    return dict(set.intersection(*found)) if found else {}


def _equalities(filters: list[str], texts: frozenset[str]) -> Iterator[tuple[str, str]]:
    for line in filters:
        match = _EQUALITY.fullmatch(line)
        if match is not None and (text := match[2].replace("''", "'")) in texts:
            yield match[1], text


def _nodes(plans: list[list[Any]]) -> Iterator[dict[str, Any]]:
    waiting = [node for plan in plans for node in plan]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node["children"])
