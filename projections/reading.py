"""Reading a warehouse: one state of it at a time, from any thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb

from projections.errors import (
    BrokenSqlFile,
    ProjectionError,
    WarehouseDamaged,
    WarehouseHeld,
    WarehouseMissing,
    WarehouseReplaced,
)
from projections.files import serving_path
from projections.query.catalog import Catalog, make_catalog


class WarehouseReader:
    """An open warehouse, to be read."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None

    def close(self) -> None:
        """Close the file; readers that are still at it get an error."""
        with self._lock:
            self._connection.close()

    def catalog(self) -> Catalog:
        """The base tables with their columns, and the views over them."""
        if self._catalog is None:
            with self.snapshot() as reader:
                self._catalog = make_catalog(_read_tables(reader), _read_views(reader))
        return self._catalog

    def forget_catalog(self) -> None:
        """Tables or views have changed: read them again when they are next asked for."""
        self._catalog = None

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that reads one state of the warehouse, while batches go on being applied.

        :raises WarehouseReplaced: it was closed.
        """
        with self._lock:
            try:
                reader = self._connection.cursor()
            except duckdb.ConnectionException:
                raise WarehouseReplaced from None
        try:
            reader.execute("SET TimeZone = 'UTC'")
            reader.execute("BEGIN TRANSACTION READ ONLY")
            yield reader
        finally:
            reader.close()


def open_read_only(data_dir: Path) -> WarehouseReader:
    """Open the serving warehouse of a directory on which no pipeline runs.

    :raises WarehouseMissing: there is none.
    :raises WarehouseHeld: a process has it open.
    :raises WarehouseDamaged: it cannot be read.
    """
    path = serving_path(data_dir)
    if not path.exists():
        raise WarehouseMissing(
            f"There is no warehouse in {data_dir} yet. "
            f"`postcall demo` makes one of simulated calls, `postcall up` one of your own."
        )
    try:
        connection = duckdb.connect(path, read_only=True)
    except duckdb.Error as error:
        raise translate_connect_error(path, error) from error
    reader = WarehouseReader(connection)
    with reader.snapshot() as snapshot:
        has_views = snapshot.execute(
            "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'base' AND table_name = 'views'"
        )
        is_readable = has_views.fetchone() is not None
    if not is_readable:
        reader.close()
        raise ProjectionError(f"{path} was made by another release. Make it again: postcall replay projections")
    return reader


def translate_connect_error(path: Path | str, error: duckdb.Error) -> WarehouseHeld | WarehouseDamaged:
    """Why DuckDB could not open a file, in our words."""
    reason = str(error).partition("\n")[0]
    if "set lock on file" in reason:
        return WarehouseHeld(f"{path} is open in another process: {reason}")
    return WarehouseDamaged(f"{path} cannot be read: {reason}")


def is_damage(error: BaseException | None) -> bool:
    """Whether this says that a file is not as it was written: it will say so again whenever it is opened.

    What broke a file of SQL is looked for behind it.
    """
    if isinstance(error, BrokenSqlFile):
        return is_damage(error.__cause__)
    return isinstance(error, duckdb.SerializationException) or (
        isinstance(error, duckdb.Error) and "Corrupt database file" in str(error)
    )


def _read_tables(reader: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    rows = reader.execute(
        "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE schema_name != 'main' AND database_name = current_database() AND NOT internal ORDER BY 1, column_index"
    ).fetchall()
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, []).append((column, kind))
    return tables


def _read_views(reader: duckdb.DuckDBPyConnection) -> dict[str, str]:
    return dict(reader.execute("SELECT name, statement FROM base.views ORDER BY place").fetchall())
