"""What people see of a warehouse at one moment: tables and the views over them, and how far the log was read for them.

A public view over tables that only the projector knows is a table to people; one over public names alone is a view.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from projections.query.catalog import parse_select

#: A projection's name, topic and partition.
Place = tuple[str, str, int]

_PUBLIC_SCHEMA: Final = "main"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicTable:
    """A table as people see it: its columns with their types."""

    name: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicView:
    """A view over public tables."""

    name: str
    select: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPlace:
    """How far a partition was read, and of which log."""

    next_offset: int
    cluster_id: str | None
    topic_id: str | None

    def is_behind(self, other: ReadPlace) -> bool:
        """Whether this is the same partition of the same log, read less far."""
        return (self.cluster_id, self.topic_id) == (other.cluster_id, other.topic_id) and (
            self.next_offset < other.next_offset
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """All that people see, the views in an order in which they can be made."""

    tables: tuple[PublicTable, ...]
    views: tuple[PublicView, ...]
    places: Mapping[Place, ReadPlace]

    @property
    def has_read(self) -> bool:
        """Whether anything of the log is in it."""
        return any(read.next_offset > 0 for read in self.places.values())

    def is_behind(self, places: Mapping[Place, ReadPlace]) -> bool:
        """Whether less of the same log was read than these places say."""
        return any(self.places[place].is_behind(before) for place, before in places.items() if place in self.places)


def read_contents(reader: duckdb.DuckDBPyConnection) -> Contents:
    """What a snapshot of a warehouse shows."""
    selects = _read_views(reader)
    with duckdb.connect(":memory:") as parser:
        tables = {name for name, select in selects.items() if _reads_hidden(parse_select(parser, select))}
    return Contents(
        tables=tuple(PublicTable(name=name, columns=_columns(reader, name)) for name in selects if name in tables),
        views=tuple(PublicView(name=name, select=select) for name, select in selects.items() if name not in tables),
        places=read_places(reader),
    )


def read_mark(reader: duckdb.DuckDBPyConnection) -> str:
    """What changes whenever something that people see may have."""
    facts = [repr(fact) for fact in (*_read_views(reader).items(), *sorted(read_places(reader).items()))]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()


def read_places(reader: duckdb.DuckDBPyConnection) -> dict[Place, ReadPlace]:
    """How far every projection has read, as a warehouse or a copy of one says."""
    rows = reader.execute(
        "SELECT projection, kafka_topic, kafka_partition, next_offset, cluster_id, topic_id FROM checkpoints"
    ).fetchall()
    return {
        (projection, topic, partition): ReadPlace(next_offset=next_offset, cluster_id=cluster_id, topic_id=topic_id)
        for projection, topic, partition, next_offset, cluster_id, topic_id in rows
    }


def quoted(name: str) -> str:
    """A name as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


def _read_views(reader: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """What is behind each public name, in an order in which they can be made."""
    return dict(reader.execute("SELECT name, statement FROM base.views ORDER BY place").fetchall())


def _columns(reader: duckdb.DuckDBPyConnection, name: str) -> tuple[tuple[str, str], ...]:
    rows = reader.execute(f"DESCRIBE {quoted(name)}").fetchall()
    return tuple((column, kind) for column, kind, *_ in rows)


def _reads_hidden(tree: Any) -> bool:
    """Whether a statement reads from a schema that people do not see; public names stand without one."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if node.get("type") == "BASE_TABLE" and node.get("schema_name") not in {"", _PUBLIC_SCHEMA}:
                return True
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return False
