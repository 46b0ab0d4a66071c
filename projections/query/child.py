"""A query's child: checks the statement, asks for the tables that it reads, runs it under limits, and answers.

The database is in memory, without extensions, files or settings that can be changed. So a statement can reach the rows
it was given and nothing else; the checks before are there to say no in words.
"""

from __future__ import annotations

import socket
from io import BufferedRWPair
from itertools import pairwise
from typing import Final

import duckdb
import orjson
import pyarrow as pa
import pyarrow.ipc

from projections.errors import QueryError, QueryRefused, QueryTooBig
from projections.query.catalog import Catalog, find_tables, parse_select
from projections.query.exchange import Request, read_line, write_chunks, write_line
from projections.query.formats import WRITERS
from projections.query.limits import limit_this_process

#: The engine is given less than the process, so that it says so itself before the system does.
_ENGINE_SHARE: Final = 0.7


def serve_query(connection: socket.socket) -> None:
    """Answer one query, or say why not."""
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


def _answer(file: BufferedRWPair, request: Request) -> None:
    database, catalog = _open_database(request), request["catalog"]
    _check_statement(database, request["sql"])
    wanted = find_tables(parse_select(database, request["sql"]), catalog)
    write_line(file, {"tables": wanted})
    for name in catalog["tables"]:
        database.execute(f'CREATE SCHEMA IF NOT EXISTS "{name.partition(".")[0]}"')
        if name in wanted:
            _load_table(database, name, catalog, pa.ipc.open_stream(file).read_all())
        else:
            _forbid_table(database, name, catalog)
    for name, select in catalog["views"].items():
        database.execute(f"CREATE VIEW {name} AS {select}")
    database.execute("SET lock_configuration = true")
    cursor = database.execute(request["sql"], request["parameters"])
    head, chunks = WRITERS[request["format"]](cursor, max_rows=request["max_rows"])
    write_line(file, head)
    write_chunks(file, chunks)


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


def _load_table(database: duckdb.DuckDBPyConnection, name: str, catalog: Catalog, rows: pa.Table) -> None:
    columns = (f"{column}::JSON AS {column}" if kind == "JSON" else column for column, kind in catalog["tables"][name])
    database.register(f"rows of {name}", rows)
    database.execute(f'CREATE VIEW {name} AS SELECT {", ".join(columns)} FROM temp."rows of {name}"')  # noqa: S608 - our own catalog


def _forbid_table(database: duckdb.DuckDBPyConnection, name: str, catalog: Catalog) -> None:
    """Let a read of a table that was not asked for fail, rather than find it empty."""
    columns = (f"NULL::{kind} AS {column}" for column, kind in catalog["tables"][name])
    failure = "error('A table must be named in the statement itself.')"
    database.execute(f"CREATE VIEW {name} AS SELECT {', '.join(columns)} WHERE {failure}")


def _translate(error: duckdb.Error, sql: str) -> QueryError:
    """The engine's own message and, where it gives one, the position."""
    _, _, details = str(error).partition(": ")
    try:
        facts = orjson.loads(details)
        kind, message = facts["exception_type"], facts["exception_message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return QueryError(str(error))
    position = int(facts["position"]) if "position" in facts else None
    # Its parser counts characters, all that comes after it bytes.
    if position is not None and kind != "Parser":
        position = len(sql.encode()[:position].decode("utf-8", "ignore"))
    return QueryError(" ".join(f"{kind} Error: {message}".split()), position=position)


def _write_error(file: BufferedRWPair, error: QueryError) -> None:
    write_line(file, {"error": {"code": error.code, "message": str(error), "position": error.position}})
