"""Another DuckDB, in a process of its own, attaches the copy: it reads all of it, and can do nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.projections.attach_client import Client, start_client
from tests.projections.attach_copy import ROWS, TOKEN, Served, make_copy, serve_copy, skip_without_extensions
from tests.waiting import eventually

skip_without_extensions()

#: A process is started, or takes up a copy, on a machine that is busy.
_PATIENCE_S = 60


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A copy that stays as it is."""
    data_dir = tmp_path_factory.mktemp("served")
    make_copy(data_dir / "analytics.duckdb")
    with serve_copy(data_dir) as served:
        yield served


@pytest.fixture
def client() -> Iterator[Client]:
    with start_client() as client:
        yield client


async def attach(client: Client, served: Served) -> None:
    """Attach once it is served."""

    def is_attached() -> bool:
        error = client.attach(served.uri, TOKEN)
        assert error is None or "Could not connect" in error, error
        return error is None

    await eventually(is_attached, timeout_s=_PATIENCE_S)


async def test_attach_reads_what_the_copy_holds(served: Served, client: Client) -> None:
    await attach(client, served)
    with duckdb.connect(served.copy, read_only=True) as connection:
        for question in (
            "SELECT * FROM {}sessions ORDER BY duration_ms LIMIT 5 OFFSET 40000",
            "SELECT count(*), sum(duration_ms), max(started_at) FROM {}sessions",
            "SELECT sentiment, count(*) FROM {}sessions WHERE duration_ms > 17 GROUP BY ALL ORDER BY ALL",
            "SELECT upper_id FROM {}calls WHERE session_id = 'se_7'",
            'SELECT * FROM {}"odd ""name"',
        ):
            expected = connection.execute(question.format("")).fetchall()
            assert client.run(question.format("postcall.")) == [[_as_sent(value) for value in row] for row in expected]


async def test_attach_twice_joins(served: Served, client: Client) -> None:
    await attach(client, served)
    assert client.attach(served.uri, TOKEN, name="again") is None
    joined = "FROM postcall.sessions JOIN again.calls USING (session_id)"
    assert client.run(f"SELECT count(*) {joined}") == [[ROWS]]


async def test_attach_shows_only_public_names(served: Served, client: Client) -> None:
    await attach(client, served)
    client.run("USE postcall")
    for name in ("duckdb_settings", "duckdb_secrets()", "information_schema.tables", "shown", "memory.main.shown"):
        client.error_of(f"FROM postcall.{name}")


async def test_attach_refuses_all_else(served: Served, client: Client) -> None:
    await attach(client, served)
    refused = "Authorization failed"
    for statement in (
        "INSERT INTO postcall.sessions SELECT * FROM postcall.sessions LIMIT 1",
        "INSERT INTO postcall.calls VALUES ('a', 'b', 1)",
        "CREATE TABLE postcall.mine AS SELECT 1 AS one",
        "CREATE VIEW postcall.mine AS SELECT 1",
        "DROP TABLE postcall.sessions",
        "FROM postcall.query('SELECT 42')",
        "FROM postcall.query('SELECT repeat(''x'', 2000000000)')",
        "FROM quack_query_by_name('postcall', 'FROM sessions')",
        *(
            f"FROM quack_query('{served.uri}', {_literal(sql)}, token := '{TOKEN}')"
            for sql in (
                "SELECT 42",
                "FROM sessions",
                "SELECT repeat('x', 2000000000)",
                "SELECT #1 FROM sessions, sessions AS other",
                "FROM read_text('/etc/passwd')",
                "SELECT getenv('HOME')",
                "COPY sessions TO '/tmp/sessions.csv'",
                "ATTACH '/tmp/other.duckdb'",
                "INSERT INTO memory.main.shown VALUES ('a', 'b', 1)",
                "SET GLOBAL quack_authorization_function = 'quack_nop_authorization'",
                "CALL quack_stop('quack:localhost')",
                "SELECT #1 FROM sessions; DETACH copy_1",
            )
        ),
    ):
        error = client.error_of(statement)
        assert refused in error or "Multiple streaming scans" in error, f"{statement}: {error}"
    for statement in ("DELETE FROM postcall.sessions", "UPDATE postcall.sessions SET run = 2"):
        client.error_of(statement)
    assert client.run("SELECT count(*), max(run) FROM postcall.sessions") == [[ROWS, 1]]


async def test_attach_needs_the_token(served: Served, client: Client) -> None:
    await attach(client, served)
    for token in ("let-me", "let-me-in-too", "LET-ME-IN"):
        assert "Authentication failed" in client.error_of(f"ATTACH '{served.uri}' AS other (TOKEN '{token}')")


async def test_attach_follows_the_copies(tmp_path: Path, client: Client) -> None:
    make_copy(tmp_path / "analytics.duckdb", run=1)
    with serve_copy(tmp_path) as served:
        await attach(client, served)
        for run in (2, 3, 4):
            make_copy(served.copy, run=run)
            await eventually(
                lambda run=run: client.run("SELECT max(run) FROM postcall.sessions") == [[run]], timeout_s=_PATIENCE_S
            )
        assert list((tmp_path / "attached").iterdir()) == []


async def test_attach_lets_go_of_copies_that_scans_hold(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.attaching.server._MAX_OLD_COPIES", 1)
    # So many that a client which wants one row leaves the greater part of them where it is.
    rows = 5 * ROWS
    make_copy(tmp_path / "analytics.duckdb", run=1, rows=rows)
    with serve_copy(tmp_path) as served:
        await attach(client, served)
        assert client.attach(served.uri, TOKEN, name="holder") is None
        assert client.run("SELECT run FROM holder.sessions LIMIT 1") == [[1]]
        for run in (2, 3):
            make_copy(served.copy, run=run, rows=rows)
            # Here the server may have ended already: then it was because of what the holder holds.
            await eventually(
                lambda run=run: client.ask("SELECT max(run) FROM postcall.sessions").get("rows") != [[run - 1]],
                timeout_s=_PATIENCE_S,
            )
        await eventually(
            lambda: "error" in client.ask("SELECT 1 FROM postcall.sessions LIMIT 1"), timeout_s=_PATIENCE_S
        )
        client.run("DETACH postcall")
        await attach(client, served)
        assert client.run("SELECT max(run) FROM postcall.calls") == [[3]]


async def test_attach_says_so_when_tables_change(tmp_path: Path, client: Client) -> None:
    make_copy(tmp_path / "analytics.duckdb", rows=10)
    with serve_copy(tmp_path) as served:
        await attach(client, served)
        make_copy(served.copy, rows=10, more="ALTER TABLE sessions DROP run; DROP VIEW calls;")
        # A column is asked for by its number, which now is another one's: an error, never another column's values.
        await eventually(lambda: _is_told_to_attach_again(client), timeout_s=_PATIENCE_S)
        client.run("DETACH postcall")
        await attach(client, served)
        assert client.run("SELECT sentiment FROM postcall.sessions WHERE duration_ms = 2") == [["happy"]]


async def test_attach_comes_back_after_kill(tmp_path: Path, client: Client) -> None:
    make_copy(tmp_path / "analytics.duckdb", rows=10)
    with serve_copy(tmp_path) as served:
        await attach(client, served)
        killed = served.keeper.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: served.keeper.pid != killed, timeout_s=_PATIENCE_S)
        client.run("DETACH postcall")
        await attach(client, served)
        assert client.run("SELECT count(*) FROM postcall.calls") == [[10]]


def _is_told_to_attach_again(client: Client) -> bool:
    question = "SELECT sentiment FROM postcall.sessions WHERE duration_ms = 2"
    answer = client.ask(question)
    assert answer.get("rows", [["happy"]]) == [["happy"]]
    return "error" in answer


def _as_sent(value: object) -> object:
    return value if value is None or isinstance(value, int | str | list | dict) else str(value)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
