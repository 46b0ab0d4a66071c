"""The service's side of a query: hand it to a child, stream it the columns it asks for, pass on its answer.

Everything here blocks and runs in a thread per query. A child is killed at the deadline; what it does until then, to
its memory or to its parser, it does to itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedRWPair
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import pyarrow as pa
import pyarrow.ipc

from projections.errors import QUERY_ERRORS, QueriesBusy, QueryCancelled, QueryRefused, WarehouseReplaced
from projections.query.catalog import Catalog, quote, split_name
from projections.query.exchange import Request, Wanted, read_chunks, read_line, write_line
from projections.query.forking import Forker
from projections.query.handle import ChildHandle
from projections.reading import WarehouseReader
from projections.settings import QuerySettings

_STREAM_ROWS: Final = 100_000
#: What a child may ask for: the columns that it found, and all of them when those were too few.
_MOST_REQUESTS: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What is asked, and how it is to be answered."""

    sql: str
    answer_format: str = "json"
    #: For `?` in their order, or for `$name` by name.
    parameters: list[Any] | dict[str, Any] | None = None
    max_rows: int | None = None


class Answer:
    """A query's answer: the head is here, the body comes in chunks; close it in any case."""

    def __init__(self, head: dict[str, Any], child: ChildHandle) -> None:
        self.row_count: int = head["row_count"]
        self.is_truncated: bool = head["is_truncated"]
        #: Bytes of the body.
        self.size: int = head["size"]
        self._child = child

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

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


class Query:
    """One statement on its way: run in one thread, and cancelled from any."""

    def __init__(
        self,
        statement: Statement,
        *,
        find_warehouse: Callable[[], WarehouseReader | None],
        settings: QuerySettings,
        forker: Forker,
    ) -> None:
        self._statement = statement
        self._find_warehouse = find_warehouse
        self._settings = settings
        self._forker = forker
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._child: ChildHandle | None = None
        self._answer: Answer | None = None

    def run(self) -> Answer:
        """Run it.

        :raises QueryError: refused, failed, or stopped; the message is for whoever wrote the statement.
        """
        try:
            answer = self._try_run()
        except Exception:
            if self._cancelled.is_set():
                raise QueryCancelled from None
            raise
        with self._lock:
            self._answer = answer
        if self._cancelled.is_set():
            answer.close()
            raise QueryCancelled
        return answer

    def cancel(self) -> None:
        """End it, whatever it is doing; nothing of it is left. A thread that runs it gets `QueryCancelled` soon."""
        with self._lock:
            self._cancelled.set()
            child, answer = self._child, self._answer
        if answer is not None:
            answer.close()
        elif child is not None:
            child.end()

    def _try_run(self) -> Answer:
        try:
            return self._run(self._open_warehouse())
        except WarehouseReplaced:
            # Found before another one took its place, and closed before it was read; or one of its tables was.
            warehouse = self._open_warehouse()
            warehouse.forget_catalog()
            return self._run(warehouse)

    def _open_warehouse(self) -> WarehouseReader:
        warehouse = self._find_warehouse()
        if warehouse is None:
            raise QueriesBusy("The warehouse is being opened. Try again in a moment.")
        return warehouse

    def _run(self, warehouse: WarehouseReader) -> Answer:
        child = self._start_child()
        try:
            with child.explained():
                return Answer(_converse(child.file, self._make_request(child, warehouse.catalog()), warehouse), child)
        except BaseException:
            child.close()
            raise

    def _start_child(self) -> ChildHandle:
        if self._cancelled.is_set():
            raise QueryCancelled
        child = ChildHandle(self._forker, self._settings)
        with self._lock:
            self._child = child
        if self._cancelled.is_set():
            child.close()
            raise QueryCancelled
        return child

    def _make_request(self, child: ChildHandle, catalog: Catalog) -> Request:
        most = self._settings.sql_max_rows
        return {
            "sql": self._statement.sql,
            "parameters": self._statement.parameters,
            "format": self._statement.answer_format,
            "max_rows": min(self._statement.max_rows or most, most),
            "threads": self._settings.sql_threads,
            "memory_mb": self._settings.sql_memory_mb,
            "deadline_s": max(0.0, child.deadline - time.monotonic()),
            "catalog": catalog,
        }


class QueryRunner:
    """Runs queries against the warehouse that `find_warehouse` gives, under the limits of the settings."""

    def __init__(self, find_warehouse: Callable[[], WarehouseReader | None], settings: QuerySettings) -> None:
        self._find_warehouse = find_warehouse
        self._forker = Forker()
        self.settings = settings

    def open(self) -> None:
        """Get ready, so that the first query need not wait for it."""
        self._forker.start()

    def close(self) -> None:
        """End the process that children come from."""
        self._forker.stop()

    def prepare(self, statement: Statement) -> Query:
        """A query that is still to be run."""
        return Query(statement, find_warehouse=self._find_warehouse, settings=self.settings, forker=self._forker)

    def run(self, sql: str, **options: Any) -> Answer:
        """Run one statement; the options are those of `Statement`.

        :raises QueryError: refused, failed, or stopped; the message is for whoever wrote the statement.
        """
        return self.prepare(Statement(sql=sql, **options)).run()


def _converse(file: BufferedRWPair, request: Request, warehouse: WarehouseReader) -> dict[str, Any]:
    _send_request(file, request)
    reply = _read_reply(file)
    for _ in range(_MOST_REQUESTS):
        if "tables" not in reply:
            break
        _stream_tables(file, reply["tables"], request["catalog"], warehouse)
        reply = _read_reply(file)
    return reply


def _send_request(file: BufferedRWPair, request: Request) -> None:
    try:
        write_line(file, request)
    except (TypeError, UnicodeError):
        raise QueryRefused("The statement, or a parameter, is no valid text or number.") from None


def _stream_tables(
    file: BufferedRWPair, wanted: dict[str, Wanted], catalog: Catalog, warehouse: WarehouseReader
) -> None:
    if not wanted:
        return
    with warehouse.snapshot() as reader:
        # In the catalog's order, and only what is in it, whatever the child said.
        for table, columns in catalog["tables"].items():
            if table in wanted:
                _stream_table(reader, table, [name for name, _ in columns], wanted[table], file)


def _stream_table(
    reader: duckdb.DuckDBPyConnection, table: str, columns: list[str], wanted: Wanted, file: BufferedRWPair
) -> None:
    try:
        rows = _select(reader, table, columns, wanted).to_arrow_reader(_STREAM_ROWS)
    except (duckdb.CatalogException, duckdb.BinderException):
        # Another build of it serves since the catalog was read.
        raise WarehouseReplaced from None
    with pa.ipc.new_stream(file, rows.schema) as stream:
        for batch in rows:
            stream.write_batch(batch)
    file.flush()


def _select(
    reader: duckdb.DuckDBPyConnection, table: str, columns: list[str], wanted: Wanted
) -> duckdb.DuckDBPyConnection:
    # Of no column it is still known how many rows there are.
    shown = ", ".join(quote(name) for name in columns if name in wanted["columns"]) or "true"
    equal = {name: text for name, text in wanted["equal"].items() if name in columns}
    kept = " AND ".join(f"{quote(name)} = ?" for name in equal) or "true"
    name = ".".join(map(quote, split_name(table)))
    return reader.execute(f"SELECT {shown} FROM {name} WHERE {kept}", list(equal.values()))  # noqa: S608 - our catalog's names


def _read_reply(file: BufferedRWPair) -> dict[str, Any]:
    reply: dict[str, Any] = read_line(file)
    if "error" in reply:
        error = reply["error"]
        raise QUERY_ERRORS[error["code"]](error["message"], position=error["position"])
    return reply
