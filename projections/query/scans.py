"""Which columns a statement reads: found in the plan that the engine makes for it over empty tables.

Of all optimizers only the one that drops unused columns is at work. Nothing can be pushed into a scan then, or
concluded from a table's being empty, and a scan's list of columns is the whole of what the statement takes from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import duckdb
import orjson

from projections.query.catalog import Catalog

_PREFIX: Final = "EXPLAIN (FORMAT json) "
_PLAIN_NAME: Final = re.compile(r"\w+", re.ASCII)


def find_scanned(
    database: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | dict[str, Any] | None
) -> dict[str, set[str]] | None:
    """Columns by table (as the plan writes its name); None if the plan cannot be told from its text.

    :raises duckdb.Error: as the statement itself would, but for the place: see `shift_position`.
    """
    optimizers = (name for (name,) in database.execute("SELECT name FROM duckdb_optimizers()").fetchall())
    others = ",".join(name for name in optimizers if name != "unused_columns")
    database.execute(f"SET disabled_optimizers = '{others}'")
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


def shift_position(position: int) -> int:
    """Where in the statement an error is that `find_scanned` raised, from where the engine says it is."""
    return position - len(_PREFIX)


def choose_columns(table: str, scanned: set[str], catalog: Catalog) -> list[str]:
    """The columns of a table to ask for, in the catalog's order; all of them unless the plan's names are plain."""
    names = [name for name, _ in catalog["tables"][table]]
    if not scanned <= set(names) or not all(map(_PLAIN_NAME.fullmatch, names)):
        return names
    return [name for name in names if name in scanned]


def _read_scans(plans: list[Any]) -> dict[str, set[str]]:
    scanned: dict[str, set[str]] = {}
    for node in _nodes(plans):
        facts = node["extra_info"]
        if "Table" in facts:
            columns = facts.get("Projections", [])
            names = [columns] if isinstance(columns, str) else columns
            scanned.setdefault(facts["Table"], set()).update(name for name in names if name)
    return scanned


def _nodes(plans: list[list[Any]]) -> Iterator[dict[str, Any]]:
    waiting = [node for plan in plans for node in plan]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node["children"])
