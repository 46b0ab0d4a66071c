"""A limit to the time that statements may take of a connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import duckdb


@contextlib.contextmanager
def interrupted_after(seconds: float, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupt what the connection is doing, should the block last longer; it then raises InterruptException."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
