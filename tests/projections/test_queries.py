"""People's SQL: what is answered, what is refused, what is stopped, and that the warehouse goes on meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from projections.errors import QueryCancelled, QueryError, QueryRefused, QueryTimedOut, QueryTooBig
from projections.query.exchange import read_line, write_line
from projections.query.runner import QueryRunner, Statement
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records


def ask(runner: QueryRunner, sql: str, **options: Any) -> list[dict[str, Any]]:
    """The rows of an answer."""
    rows: list[dict[str, Any]] = orjson.loads(b"".join(runner.run(sql, **options).chunks()))["rows"]
    return rows


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) AS n FROM sessions",
        "FROM Sessions SELECT count(*) AS n",
        "WITH s AS (FROM sessions) SELECT count(*) AS n FROM s",
        "SELECT (SELECT count(*) FROM main.sessions) AS n",
        "SELECT count(*) AS n FROM sessions JOIN calls USING (session_id);",
        'SELECT count(*) AS n FROM "sessions" -- all of them',
        "/* all */ SELECT count(*) AS n FROM memory.main.sessions",
        "WITH transcripts AS (FROM sessions) SELECT count(*) AS n FROM transcripts",
    ],
)
def test_a_statement_sees_the_rows_however_it_names_the_table(runner: QueryRunner, statement: str) -> None:
    assert ask(runner, statement) == [{"n": 30}]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO sessions VALUES (1)",
        "WITH x AS (SELECT 1) INSERT INTO base.deliveries SELECT * FROM x",
        "DELETE FROM sessions",
        "DROP VIEW sessions",
        "CREATE TABLE t (a INTEGER)",
        "ATTACH '/tmp/other.duckdb'",
        "COPY (SELECT 1) TO '/tmp/rows.csv'",
        "EXPORT DATABASE '/tmp/all'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "PRAGMA database_size",
        "-- a comment first\nPRAGMA threads=8",
        "CALL pragma_version()",
        "CHECKPOINT",
        "BEGIN",
        "EXPLAIN ANALYZE INSERT INTO sessions VALUES (1)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE sessions",
        "PIVOT sessions ON source USING count(*)",
        "",
        "-- nothing",
    ],
)
def test_all_but_one_reading_statement_is_refused(runner: QueryRunner, statement: str) -> None:
    with pytest.raises(QueryRefused):
        runner.run(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_parquet('http://127.0.0.1/x.parquet')",
        "FROM glob('/*')",
        "FROM '/etc/passwd'",
        "FROM duckdb_secrets()",
        "SELECT getenv('HOME')",
        "FROM request",
        "FROM query_table('sessions')",
        "FROM query('FROM sessions')",
        "SELECT " + "(" * 20_000,
        "SELECT " + "NOT " * 20_000 + "true",
    ],
)
def test_what_is_not_in_the_tables_cannot_be_reached(runner: QueryRunner, statement: str) -> None:
    with pytest.raises(QueryError):
        runner.run(statement)


@pytest.fixture(scope="module")
def hasty_runner(warehouse: Warehouse) -> Iterator[QueryRunner]:
    """Runs queries for a second at most."""
    runner = QueryRunner(lambda: warehouse, QuerySettings(sql_deadline_s=1.0, sql_memory_mb=512))
    yield runner
    runner.close()


@pytest.mark.parametrize(
    "statement",
    [
        "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t",
        "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b",
    ],
)
def test_a_query_that_never_ends_is_stopped(hasty_runner: QueryRunner, statement: str) -> None:
    with pytest.raises(QueryTimedOut):
        hasty_runner.run(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT length(repeat('x', 2000000000))",
        "SELECT list(range) FROM range(1000000000)",
        "SELECT repeat('x', 100000000) FROM range(100)",
    ],
)
def test_a_query_that_grows_is_stopped(runner: QueryRunner, statement: str) -> None:
    with pytest.raises(QueryTooBig):
        runner.run(statement)


def test_batches_are_applied_while_a_query_runs_away() -> None:
    warehouse = Warehouse(":memory:")
    runner = QueryRunner(lambda: warehouse, QuerySettings(sql_deadline_s=100.0))
    endless = "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b, sessions"
    query = runner.prepare(Statement(sql=endless))
    caught: list[BaseException] = []

    def run_away() -> None:
        try:
            query.run()
        except QueryError as error:
            caught.append(error)

    thread = threading.Thread(target=run_away)
    try:
        apply_records(warehouse, number_records(make_records(range(1))))
        thread.start()
        apply_records(warehouse, number_records(make_records(range(10))), batch_size=10)
        assert ask(runner, "SELECT count(*) AS n FROM sessions") == [{"n": 10}]
        assert thread.is_alive()
    finally:
        query.cancel()
        thread.join()
        runner.close()
        warehouse.close()
    assert isinstance(caught[0], QueryCancelled)


@pytest.mark.parametrize(
    ("statement", "culprit"), [("SELECT 'é' FORM calls", "calls"), ("SELECT 'é', durations FROM calls", "durations")]
)
def test_an_error_says_where(runner: QueryRunner, statement: str, culprit: str) -> None:
    with pytest.raises(QueryError, match=culprit) as caught:
        runner.run(statement)
    assert caught.value.position == statement.index(culprit)


def test_an_ended_nursery_is_started_again(warehouse: Warehouse) -> None:
    runner = QueryRunner(lambda: warehouse, QuerySettings())
    try:
        assert ask(runner, "SELECT 1 AS n") == [{"n": 1}]
        process = runner._forker._process
        assert process is not None
        process.kill()
        process.wait()
        assert ask(runner, "SELECT 2 AS n") == [{"n": 2}]
    finally:
        runner.close()


def test_parameters_are_bound(runner: QueryRunner) -> None:
    assert ask(runner, "SELECT $name AS x, $n + 1 AS y", parameters={"name": "a'b", "n": 1}) == [{"x": "a'b", "y": 2}]
    assert ask(runner, "SELECT ? AS x", parameters=[None]) == [{"x": None}]


def test_rows_beyond_the_limit_are_cut_off_and_told(runner: QueryRunner) -> None:
    for most, is_truncated in ((2000, False), (1999, True)):
        with runner.run("FROM range(2000)", max_rows=most) as answer:
            body = b"".join(answer.chunks())
        assert (answer.row_count, answer.is_truncated, answer.size) == (most, is_truncated, len(body))
        assert len(orjson.loads(body)["rows"]) == most


def test_an_exchange_that_breaks_off_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rwb") as reader, theirs.makefile("rwb") as writer:
        write_line(writer, {"head": 1})
        assert read_line(reader) == {"head": 1}
        writer.close()
        theirs.close()
        with pytest.raises(EOFError):
            read_line(reader)
