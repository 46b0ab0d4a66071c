"""Transactions of the writing connection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import duckdb

from postcall.crash_points import reach


@contextlib.contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection, within one transaction that ends with the block; names are those of schema `main` afterwards."""
    connection.execute("BEGIN")
    try:
        yield connection
        connection.execute("SET schema = main")
        reach("before_commit", who="projections")
        connection.execute("COMMIT")
        reach("after_commit", who="projections")
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        with contextlib.suppress(duckdb.Error):
            connection.execute("SET schema = main")
        raise


def enter_schema(connection: duckdb.DuckDBPyConnection, schema: str) -> None:
    """Until the transaction ends, let names without a schema be those of this one, or of the batch."""
    connection.execute(f'SET schema = "{schema}"')
