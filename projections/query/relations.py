"""The tables and views of a query's database: first empty, to be planned over, then with the rows that were sent.

A table of the catalog is a view over `sent.rows_N`. That is an empty table at first; later a view over the rows sent,
in which the columns that were not sent fail as soon as one is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import duckdb
import pyarrow as pa

from projections.query.catalog import Catalog, Needs, quote, split_name

#: In the message of a query that looked at a column which was not sent.
NOT_SENT: Final = "postcall: this column was not sent"
_NOT_NAMED: Final = "A table must be named in the statement itself."


class Relations:
    """The catalog's tables and views in one database, as far as they are needed."""

    def __init__(self, database: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._numbers = {name: number for number, name in enumerate(catalog["tables"])}
        self._made: set[str] = set()
        self._filled: set[int] = set()
        # Not among the temporary ones, which `SHOW TABLES` shows.
        database.execute("CREATE SCHEMA sent")

    @property
    def are_all_made(self) -> bool:
        """Whether no name of the catalog is missing."""
        return len(self._made) == len(self._catalog["tables"]) + len(self._catalog["views"])

    def make(self, needs: Needs) -> None:
        """Make what is needed, empty."""
        self._make_tables(needs.tables)
        self._make_views(needs.views)

    def make_all(self) -> None:
        """Make what is not made yet, empty."""
        self._make_tables(self._catalog["tables"])
        self._make_views(self._catalog["views"])

    def plan_name(self, table: str) -> str:
        """How a plan names the scan of an empty table."""
        return f"memory.sent.rows_{self._numbers[table]}"

    def fill(self, table: str, columns: list[str], rows: pa.Table) -> None:
        """Put rows that have these columns in the place of an empty table."""
        number = self._numbers[table]
        self._database.register(f"sent_{number}", rows)
        parts = [
            f"{quote(name)}::{kind} AS {quote(name)}"
            if name in columns
            else f"error('{NOT_SENT}')::{kind} AS {quote(name)}"
            for name, kind in self._catalog["tables"][table]
        ]
        self._replace(number, f"SELECT {', '.join(parts)} FROM temp.sent_{number}")  # noqa: S608 - our own catalog

    def forbid_others(self, sent: Iterable[str], needs: Needs) -> None:
        """Let a read of a table that was not sent fail, rather than find it empty."""
        for table in self._made & set(self._catalog["tables"]) - set(sent):
            failure = NOT_SENT if table in needs.tables else _NOT_NAMED
            parts = [f"NULL::{kind} AS {quote(name)}" for name, kind in self._catalog["tables"][table]]
            self._replace(self._numbers[table], f"SELECT {', '.join(parts)} WHERE error('{failure}')")

    def _make_tables(self, tables: Iterable[str]) -> None:
        for table in tables:
            if table in self._made:
                continue
            schema, name = map(quote, split_name(table))
            columns = ", ".join(f"{quote(column)} {kind}" for column, kind in self._catalog["tables"][table])
            rows = f"sent.rows_{self._numbers[table]}"
            self._database.execute(
                f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {rows} ({columns});"
                f"CREATE VIEW {schema}.{name} AS FROM {rows}"
            )
            self._made.add(table)

    def _make_views(self, views: Iterable[str]) -> None:
        for view in views:
            if view not in self._made:
                self._database.execute(f"CREATE VIEW {quote(view)} AS {self._catalog['views'][view]}")
                self._made.add(view)

    def _replace(self, number: int, select: str) -> None:
        kind = "VIEW" if number in self._filled else "TABLE"
        self._database.execute(f"DROP {kind} sent.rows_{number}; CREATE VIEW sent.rows_{number} AS {select}")
        self._filled.add(number)
