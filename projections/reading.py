"""Reading a warehouse: one state of it at a time, from any thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb

from projections.errors import ProjectionError, WarehouseDamaged, WarehouseHeld, WarehouseMissing, WarehouseReplaced
from projections.files import serving_path
from projections.query.catalog import Catalog, make_catalog
from projections.sql_files import fingerprint, load_views


class WarehouseReader:
    """An open warehouse, to be read."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, reporting_timezone: str) -> None:
        self._connection = connection
        self.reporting_timezone = reporting_timezone
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
                tables = _read_tables(reader)
            self._catalog = make_catalog(tables, load_views(reporting_timezone=self.reporting_timezone))
        return self._catalog

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


def open_read_only(data_dir: Path, *, reporting_timezone: str) -> WarehouseReader:
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
    reader = WarehouseReader(connection, reporting_timezone=reporting_timezone)
    with reader.snapshot() as snapshot:
        rows = snapshot.execute("SELECT fingerprint FROM base.release").fetchall()
    if rows != [(fingerprint(),)]:
        reader.close()
        raise ProjectionError(f"{path} was made by another release. Make it again: postcall replay projections")
    return reader


def translate_connect_error(path: Path | str, error: duckdb.Error) -> WarehouseHeld | WarehouseDamaged:
    """Why DuckDB could not open a file, in our words."""
    reason = str(error).partition("\n")[0]
    if "lock" in reason.lower():
        return WarehouseHeld(f"{path} is open in another process: {reason}")
    return WarehouseDamaged(f"{path} cannot be read: {reason}")


def _read_tables(reader: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    rows = reader.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE schema_name = 'base' ORDER BY table_name, column_index"
    ).fetchall()
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, []).append((column, kind))
    return tables
