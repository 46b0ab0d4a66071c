"""A query's child: checks the statement, asks for the columns that it reads, runs it under limits, and answers.

The database is in memory, without extensions, files or settings that can be changed. So a statement can reach the rows
it was given and nothing else; the checks before are there to say no in words.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from io import BufferedRWPair
from itertools import pairwise
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa
import pyarrow.ipc

from projections.errors import QueryError, QueryRefused, QueryTooBig
from projections.query.catalog import Needs, find_needs, find_texts, parse_select
from projections.query.exchange import Request, Wanted, read_line, write_chunks, write_line
from projections.query.formats import WRITERS, Body, Head
from projections.query.limits import limit_this_process
from projections.query.relations import NOT_SENT, Relations
from projections.query.scans import Scanned, choose_columns, choose_equal, find_scanned, shift_position

#: The engine is given less than the process, so that it says so itself before the system does.
_ENGINE_SHARE: Final = 0.7


def serve_query(connection: socket.socket) -> None:
    """Answer one query, or say why not; then wait until the other side has taken the answer.

    Who is waited for may be killed without its number having become another process's.
    """
    with connection, connection.makefile("rwb") as file:
        request: Request = read_line(file)
        limit_this_process(memory_mb=request["memory_mb"], deadline_s=request["deadline_s"], threads=request["threads"])
        try:
            _answer(file, request)
        except QueryError as error:
            _write_error(file, error)
        except (MemoryError, pa.ArrowMemoryError, duckdb.OutOfMemoryException):
            _write_error(file, QueryTooBig(f"The query needed more than its {request['memory_mb']} MB of memory."))
        except duckdb.Error as error:
            _write_error(file, _translate(error, request["sql"]))
        except Exception as error:  # noqa: BLE001 - a fault of ours: said, not left to look like a full memory
            _write_error(file, QueryError(f"The answer could not be written: {type(error).__name__}: {error}"))
        with contextlib.suppress(OSError):
            connection.recv(1)


def _answer(file: BufferedRWPair, request: Request) -> None:
    head, body = _run(file, request)
    write_line(file, head | {"size": sum(map(len, body))})
    write_chunks(file, body)


def _run(file: BufferedRWPair, request: Request) -> tuple[Head, Body]:
    database = _open_database(request)
    _check_statement(database, request["sql"])
    tree = _parse(database, request)
    needs = find_needs(tree, request["catalog"])
    relations = Relations(database, request["catalog"])
    wanted = _choose_wanted(database, request, relations, needs, find_texts(tree))
    _fetch(file, relations, wanted)
    relations.forbid_others(wanted, needs)
    database.execute("SET lock_configuration = true")
    try:
        return _write(database, request)
    except duckdb.Error as error:
        if NOT_SENT not in str(error):
            raise
    _fetch(file, relations, _want_all(request, needs))
    return _write(database, request)


def _parse(database: duckdb.DuckDBPyConnection, request: Request) -> Any:
    try:
        return parse_select(database, request["sql"])
    except orjson.JSONDecodeError:
        raise QueryRefused("The statement nests too deeply, or has a number that is too long.") from None


def _choose_wanted(
    database: duckdb.DuckDBPyConnection, request: Request, relations: Relations, needs: Needs, texts: frozenset[str]
) -> dict[str, Wanted]:
    """Make the tables and views that the statement needs, empty, and find what it reads of each table."""
    relations.make(needs)
    if needs.looks_around:
        relations.make_all()
    elif not needs.tables:
        return {}
    try:
        scanned = _plan(database, request, texts)
    except QueryError:
        if relations.are_all_made:
            raise
        # Now with all names there are: one may have been overlooked, and the engine knows what to suggest.
        relations.make_all()
        scanned = _plan(database, request, texts)
    if scanned is None:
        return _want_all(request, needs)
    return {
        table: {
            "columns": choose_columns(table, scanned[name], request["catalog"]),
            "equal": choose_equal(table, scanned[name], request["catalog"]),
        }
        for table in needs.tables
        if (name := relations.plan_name(table)) in scanned
    }


def _plan(database: duckdb.DuckDBPyConnection, request: Request, texts: frozenset[str]) -> dict[str, Scanned] | None:
    parameters = request["parameters"] or []
    values = parameters.values() if isinstance(parameters, dict) else parameters
    texts |= {value for value in values if isinstance(value, str)}
    try:
        return find_scanned(database, request["sql"], request["parameters"], texts)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise _translate(error, request["sql"], shift=shift_position) from None
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        # The statement itself will say what is wrong with it, if anything is.
        return None


def _want_all(request: Request, needs: Needs) -> dict[str, Wanted]:
    tables = request["catalog"]["tables"]
    return {table: {"columns": [name for name, _ in tables[table]], "equal": {}} for table in needs.tables}


def _fetch(file: BufferedRWPair, relations: Relations, wanted: dict[str, Wanted]) -> None:
    write_line(file, {"tables": wanted})
    for table, part in wanted.items():
        relations.fill(table, part["columns"], pa.ipc.open_stream(file).read_all())


def _write(database: duckdb.DuckDBPyConnection, request: Request) -> tuple[Head, Body]:
    cursor = database.execute(request["sql"], request["parameters"])
    return WRITERS[request["format"]](cursor, max_rows=request["max_rows"])


def _open_database(request: Request) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(
        ":memory:",
        config={
            "threads": request["threads"],
            "memory_limit": f"{int(request['memory_mb'] * _ENGINE_SHARE)}MiB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    # The directory first: without access to files it can no longer be unset.
    database.execute("SET temp_directory = ''")
    database.execute("SET enable_external_access = false")
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET errors_as_json = true")
    return database


def _check_statement(database: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = database.extract_statements(sql)
    first_word = next((text.upper() for text in _tokens(sql) if text not in {";", ""}), "")
    if first_word == "PIVOT" and len(statements) > 1:
        raise QueryRefused("PIVOT must name its values: PIVOT … ON column IN ('one', 'other') USING …")
    if len(statements) != 1:
        raise QueryRefused(f"One statement is run at a time; this is {len(statements) or 'none'}.")
    # The engine turns some PRAGMAs into a SELECT before it says what kind of statement they are.
    kind = "PRAGMA" if first_word == "PRAGMA" else statements[0].type.name
    if kind != "SELECT":
        raise QueryRefused(f"Only statements that read are run here (SELECT, FROM, WITH, VALUES); this is {kind}.")


def _tokens(sql: str) -> list[str]:
    # Starts count bytes.
    encoded = sql.encode()
    bounds = [*(start for start, _ in duckdb.tokenize(sql)), len(encoded)]
    return [encoded[start:end].decode("utf-8", "replace").strip() for start, end in pairwise(bounds)]


def _translate(error: duckdb.Error, sql: str, *, shift: Callable[[int], int] = int) -> QueryError:
    """The engine's own message and, where it gives one, the position."""
    _, _, details = str(error).partition(": ")
    try:
        facts = orjson.loads(details)
        kind, message = facts["exception_type"], facts["exception_message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return QueryError(str(error))
    position = shift(int(facts["position"])) if "position" in facts else None
    # Its parser counts characters, all that comes after it bytes.
    if position is not None and kind != "Parser":
        position = len(sql.encode()[:position].decode("utf-8", "ignore"))
    return QueryError(" ".join(f"{kind} Error: {message}".split()), position=position)


def _write_error(file: BufferedRWPair, error: QueryError) -> None:
    write_line(file, {"error": {"code": error.code, "message": str(error), "position": error.position}})
