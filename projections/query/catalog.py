"""The names that a statement may use, and which of them it does: found in the tree that the engine's parser makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import duckdb
import orjson

#: Table functions whose rows come out of their arguments. Others may look at the catalog itself.
_PLAIN_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series", "repeat", "json_each", "json_tree"})


class Catalog(TypedDict):
    """The tables, the views over them in the order of their making, and what each view reads."""

    #: Columns and their types, by `schema.table`.
    tables: dict[str, list[tuple[str, str]]]
    #: The SELECT of each.
    views: dict[str, str]
    #: Tables and views that a view's own SELECT names.
    uses: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a statement leads to; each in the catalog's order."""

    tables: list[str]
    views: list[str]
    #: Whether it may find names otherwise than by saying them, as `SHOW TABLES` does.
    looks_around: bool


def make_catalog(tables: dict[str, list[tuple[str, str]]], views: dict[str, str]) -> Catalog:
    """A catalog of our own tables and views."""
    catalog: Catalog = {"tables": tables, "views": views, "uses": {}}
    with duckdb.connect(":memory:") as parser:
        for name, select in views.items():
            catalog["uses"][name] = sorted(_find_named(parse_select(parser, select), catalog) - {name})
    return catalog


def parse_select(parser: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """The tree of a SELECT; for anything else a tree that says `error`."""
    row = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    return orjson.loads(row[0]) if row else {"error": True}


def find_needs(tree: Any, catalog: Catalog) -> Needs:
    """The tables and views that a tree's names lead to.

    A name that means something else there (of a WITH, say) may lead to one too many, never to one too few.
    """
    found: set[str] = set()
    waiting = _find_named(tree, catalog)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(catalog["uses"].get(name, ())) - found
    return Needs(
        tables=[name for name in catalog["tables"] if name in found],
        views=[name for name in catalog["views"] if name in found],
        looks_around=_looks_around(tree, catalog),
    )


def find_texts(tree: Any) -> frozenset[str]:
    """The texts that stand in a statement."""
    values = (node.get("value") for node in _nodes(tree) if node.get("type") == "VALUE_CONSTANT")
    found = (value.get("value") for value in values if isinstance(value, Mapping))
    return frozenset(value for value in found if isinstance(value, str))


def split_name(table: str) -> tuple[str, str]:
    """Schema and name of a table."""
    schema, _, name = table.partition(".")
    return schema, name


def quote(identifier: str) -> str:
    """An identifier as SQL writes it, whatever is in it."""
    return '"' + identifier.replace('"', '""') + '"'


def _find_named(tree: Any, catalog: Catalog) -> set[str]:
    names = {_name_of(node) for node in _nodes(tree) if node.get("type") == "BASE_TABLE"}
    return {name for name in _all_names(catalog) if _bare(name) in names}


def _looks_around(tree: Any, catalog: Catalog) -> bool:
    known = {_bare(name) for name in _all_names(catalog)}
    for node in _nodes(tree):
        known.update(str(entry.get("key")).lower() for entry in _with_entries(node))
    return any(_is_unknown(node, known) for node in _nodes(tree))


def _is_unknown(node: Mapping[str, Any], known: set[str]) -> bool:
    match node.get("type"):
        case "BASE_TABLE":
            return _name_of(node) not in known
        case "TABLE_FUNCTION":
            return str((node.get("function") or {}).get("function_name")).lower() not in _PLAIN_FUNCTIONS
        case "SHOW_REF":
            return True
    return bool(node.get("error"))


def _all_names(catalog: Catalog) -> Iterable[str]:
    return [*catalog["tables"], *catalog["views"]]


def _bare(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _name_of(node: Mapping[str, Any]) -> str:
    return str(node.get("table_name")).lower()


def _with_entries(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = (node.get("cte_map") or {}).get("map") or []
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    # Without recursion: a statement may nest deeper than Python does.
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
