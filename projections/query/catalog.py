"""What a statement may read, and which base tables that takes: found in the tree that the engine's parser makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import duckdb
import orjson


class Catalog(TypedDict):
    """The base tables, the views over them in the order of their making, and what each view reads at bottom."""

    #: Columns and their types.
    tables: dict[str, list[tuple[str, str]]]
    #: The SELECT of each.
    views: dict[str, str]
    #: Base tables, by the name of the view.
    reads: dict[str, list[str]]


def make_catalog(tables: dict[str, list[tuple[str, str]]], views: dict[str, str]) -> Catalog:
    """A catalog of our own tables and views."""
    catalog: Catalog = {"tables": tables, "views": views, "reads": {}}
    with duckdb.connect(":memory:") as parser:
        for name, select in views.items():
            catalog["reads"][name] = find_tables(parse_select(parser, select), catalog)
    return catalog


def parse_select(parser: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The tree of a SELECT; for anything else a tree that says `error`."""
    row = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    return orjson.loads(row[0]) if row else {"error": True}


def find_tables(tree: Any, catalog: Catalog) -> list[str]:
    """The base tables that a tree's names lead to.

    A name that means something else there (of a WITH, say) may lead to one too many, never to one too few.
    """
    found: set[str] = set()
    for name in _table_names(tree):
        found.update(catalog["reads"].get(name, ()))
        if name in catalog["tables"]:
            found.add(name)
    return [name for name in catalog["tables"] if name in found]


def _table_names(tree: Any) -> Iterator[str]:
    # Without recursion: a statement may nest deeper than Python does.
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if node.get("type") == "BASE_TABLE":
                table, schema = str(node.get("table_name")).lower(), str(node.get("schema_name")).lower()
                yield f"{schema}.{table}" if schema not in {"", "main"} else table
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
