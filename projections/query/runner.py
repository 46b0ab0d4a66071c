"""The service's side of a query: hand it to a child, stream it the tables it asks for, pass on its answer.

Everything here blocks and runs in a thread per query. A child is killed at the deadline; what it does until then, to
its memory or to its parser, it does to itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from io import BufferedRWPair
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.ipc

from projections.errors import QUERY_ERRORS, QueriesBusy, QueryRefused, QueryTimedOut, QueryTooBig, WarehouseReplaced
from projections.query.exchange import Request, read_chunks, read_line, write_line
from projections.query.forking import Forker
from projections.reading import WarehouseReader
from projections.settings import QuerySettings

_STREAM_ROWS: Final = 100_000


class Answer:
    """A query's answer: the head is here, the body comes in chunks; close it in any case."""

    def __init__(self, head: dict[str, Any], child: _Child) -> None:
        self.row_count: int = head["row_count"]
        self.is_truncated: bool = head["is_truncated"]
        self._child = child

    def chunks(self) -> Iterator[bytes]:
        """The body.

        :raises QueryError: the query ended before its answer was whole.
        """
        try:
            with self._child.explained():
                yield from read_chunks(self._child.file)
        finally:
            self.close()

    def close(self) -> None:
        """Let the child go."""
        self._child.close()


class QueryRunner:
    """Runs queries against the warehouse that `find_warehouse` gives, under the limits of the settings."""

    def __init__(self, find_warehouse: Callable[[], WarehouseReader | None], settings: QuerySettings) -> None:
        self._find_warehouse = find_warehouse
        self._settings = settings
        self._forker = Forker()
        self._slots = threading.BoundedSemaphore(settings.sql_concurrency)

    def open(self) -> None:
        """Get ready, so that the first query need not wait for it."""
        self._forker.start()

    def close(self) -> None:
        """End the process that children come from."""
        self._forker.stop()

    def run(
        self,
        sql: str,
        *,
        answer_format: str = "json",
        parameters: list[Any] | dict[str, Any] | None = None,
        max_rows: int | None = None,
    ) -> Answer:
        """Run one statement.

        :raises QueryError: refused, failed, or stopped; the message is for whoever wrote the statement.
        """
        try:
            return self._run(sql, answer_format, parameters, max_rows)
        except WarehouseReplaced:
            # It was found before another one took its place, and closed before it was read.
            return self._run(sql, answer_format, parameters, max_rows)

    def _run(
        self, sql: str, answer_format: str, parameters: list[Any] | dict[str, Any] | None, max_rows: int | None
    ) -> Answer:
        deadline = time.monotonic() + self._settings.sql_deadline_s
        warehouse = self._find_warehouse()
        if warehouse is None:
            raise QueriesBusy("The warehouse is being opened. Try again in a moment.")
        if not self._slots.acquire(timeout=self._settings.sql_deadline_s):
            raise QueriesBusy
        child = _Child(self._forker, self._settings, deadline=deadline, on_close=self._slots.release)
        try:
            with child.explained():
                request: Request = {
                    "sql": sql,
                    "parameters": parameters,
                    "format": answer_format,
                    "max_rows": min(max_rows or self._settings.sql_max_rows, self._settings.sql_max_rows),
                    "threads": self._settings.sql_threads,
                    "memory_mb": self._settings.sql_memory_mb,
                    "deadline_s": max(0.0, deadline - time.monotonic()),
                    "catalog": warehouse.catalog(),
                }
                return Answer(_converse(child.file, request, warehouse), child)
        except BaseException:
            child.close()
            raise


def _converse(file: BufferedRWPair, request: Request, warehouse: WarehouseReader) -> dict[str, Any]:
    _send_request(file, request)
    wanted = set(_read_reply(file)["tables"])
    if wanted:
        with warehouse.snapshot() as reader:
            # In the catalog's order, and only what is in it, whatever the child said.
            for name in request["catalog"]["tables"]:
                if name in wanted:
                    _stream_table(reader, name, file)
    return _read_reply(file)


def _send_request(file: BufferedRWPair, request: Request) -> None:
    try:
        write_line(file, request)
    except (TypeError, UnicodeError):
        raise QueryRefused("The statement is not valid text.") from None


def _stream_table(reader: duckdb.DuckDBPyConnection, name: str, file: BufferedRWPair) -> None:
    rows = reader.execute(f"SELECT * FROM {name}").to_arrow_reader(_STREAM_ROWS)  # noqa: S608 - a name of our catalog
    with pa.ipc.new_stream(file, rows.schema) as stream:
        for batch in rows:
            stream.write_batch(batch)
    file.flush()


def _read_reply(file: BufferedRWPair) -> dict[str, Any]:
    reply: dict[str, Any] = read_line(file)
    if "error" in reply:
        error = reply["error"]
        raise QUERY_ERRORS[error["code"]](error["message"], position=error["position"])
    return reply


class _Child:
    """A child process with one end of a socket pair, and a timer that kills it."""

    def __init__(
        self, forker: Forker, settings: QuerySettings, *, deadline: float, on_close: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._on_close = on_close
        self._is_closed = False
        self._is_late = False
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._pid = forker.fork(theirs)
        except BaseException:
            ours.close()
            on_close()
            raise
        self._connection = ours
        self.file: BufferedRWPair = ours.makefile("rwb")
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._kill_late)
        self._timer.daemon = True
        self._timer.start()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the child's silent end into the reason for it."""
        try:
            yield
        except (EOFError, ConnectionError) as error:
            if self._is_late:
                raise QueryTimedOut(
                    f"The query was stopped at its deadline of {self._settings.sql_deadline_s:g} s."
                ) from error
            raise QueryTooBig(
                f"The query's process ended without an answer: most likely it needed more than its "
                f"{self._settings.sql_memory_mb} MB of memory."
            ) from error

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._timer.cancel()
        self._kill()
        with contextlib.suppress(OSError):
            self.file.close()
        self._connection.close()
        self._on_close()

    def _kill_late(self) -> None:
        self._is_late = True
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
