"""What the server runs for a statement: only scans of columns of the copy's tables, in words of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.attaching.engine import AttachEngine
from projections.attaching.errors import TablesChanged
from projections.attaching.extensions import find_extensions
from tests.projections.attach_copy import make_copy, skip_without_extensions

skip_without_extensions()

_SCHEMAS = """
SELECT catalog_name, schema_name
FROM information_schema.schemata
WHERE catalog_name NOT IN ('system', 'temp')
ORDER BY ALL
"""
_COLUMNS_OF_SESSIONS = 5


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttachEngine]:
    """It shows the copy, and listens to nobody."""
    folder = tmp_path_factory.mktemp("engine")
    make_copy(folder / "copy.duckdb", rows=10)
    engine = AttachEngine(find_extensions(), links=folder, memory_mb=256)
    engine.show(folder / "copy.duckdb")
    yield engine
    engine.close()


@pytest.mark.parametrize(
    ("sent", "run"),
    [
        ("SELECT #1, #3 FROM sessions", 'SELECT #1, #3 FROM "copy_1".main."sessions"'),
        ("SELECT NULL::BOOLEAN FROM calls", 'SELECT NULL::BOOLEAN FROM "copy_1".main."calls"'),
        ('SELECT #2 FROM "odd ""name"', 'SELECT #2 FROM "copy_1".main."odd ""name"'),
        ("select  #1 FROM sessions -- a comment", 'SELECT #1 FROM "copy_1".main."sessions"'),
        # What the parser overlooks is not run.
        ("SELECT ((#1)) FROM sessions;;", 'SELECT #1 FROM "copy_1".main."sessions"'),
        ("SELECT #1 FROM sessions\0; DROP TABLE sessions", 'SELECT #1 FROM "copy_1".main."sessions"'),
        (_SCHEMAS, "SELECT 'postcall', 'main'"),
    ],
)
def test_scan_is_written_anew(engine: AttachEngine, sent: str, run: str) -> None:
    assert engine.admit(sent) == run


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "SELECT 42",
        "SELECT #1",
        "FROM sessions",
        "SELECT * FROM sessions",
        "SELECT session_id FROM sessions",
        "SELECT #0 FROM sessions",
        "SELECT #6 FROM sessions",
        "SELECT #1, #1 FROM sessions",
        "SELECT #1 AS one FROM sessions",
        "SELECT DISTINCT #1 FROM sessions",
        "SELECT #1 FROM sessions AS s",
        "SELECT #1 FROM sessions LIMIT 1",
        "SELECT #1 FROM sessions ORDER BY 1",
        "SELECT #1 FROM sessions GROUP BY ALL",
        "SELECT #1 FROM sessions WHERE true",
        "SELECT #1 FROM sessions WHERE length(repeat('x', 2000000000)) > 0",
        "SELECT #1 FROM sessions QUALIFY true",
        "SELECT #1 FROM sessions USING SAMPLE 1",
        "SELECT #1 FROM sessions, sessions AS other",
        "SELECT #1 FROM sessions CROSS JOIN calls",
        "SELECT #1 FROM (FROM sessions)",
        "SELECT #1 FROM sessions UNION ALL SELECT #1 FROM sessions",
        "SELECT #1 FROM sessions; SELECT #1 FROM sessions",
        "SELECT #1 FROM sessions; DROP TABLE sessions",
        "WITH sessions AS (SELECT repeat('x', 2000000000)) SELECT #1 FROM sessions",
        "WITH RECURSIVE t AS (SELECT 1 UNION ALL FROM t) SELECT #1 FROM sessions",
        "SELECT repeat('x', 2000000000) FROM sessions",
        "SELECT repeat('x', 2000000000)::BOOLEAN FROM sessions",
        "SELECT NULL::INTEGER[10] FROM sessions",
        "SELECT TRY_CAST(NULL AS BOOLEAN) FROM sessions",
        "SELECT #1 FROM nothing",
        "SELECT #1 FROM shown",
        "SELECT #1 FROM memory.main.shown",
        "SELECT #1 FROM copy_1.main.sessions",
        "SELECT #1 FROM main.sessions",
        "SELECT #1 FROM duckdb_secrets()",
        "SELECT #1 FROM duckdb_settings",
        "SELECT #1 FROM 'sessions.csv'",
        "SELECT sql FROM duckdb_tables()",
        "INSERT INTO main.sessions VALUES (NULL)",
        "UPDATE sessions SET run = 2",
        "DELETE FROM sessions",
        "CREATE TABLE mine (one INTEGER)",
        "CREATE OR REPLACE MACRO admit(a, b) AS b",
        "DROP TABLE sessions",
        "BEGIN TRANSACTION",
        "ROLLBACK",
        "COPY sessions TO 'sessions.csv'",
        "ATTACH 'other.duckdb'",
        "DETACH copy_1",
        "USE copy_1",
        "SET threads = 64",
        "RESET threads",
        "PRAGMA database_list",
        "CALL quack_stop('quack:localhost')",
        "LOAD httpfs",
        "INSTALL httpfs",
        "EXPLAIN SELECT #1 FROM sessions",
        "DESCRIBE sessions",
        "SHOW TABLES",
        "PREPARE p AS SELECT #1 FROM sessions",
        "EXECUTE p",
        "SELECT #1 FROM sessions" + " " * 20_000,
        "SELECT " + "NOT " * 4_000 + "#1 FROM sessions",
        "SELECT #1 FROM \U0001f986",
    ],
)
def test_all_else_is_refused(engine: AttachEngine, sent: str) -> None:
    assert engine.admit(sent) is None


@given(st.lists(st.integers(0, _COLUMNS_OF_SESSIONS + 2), max_size=8))
def test_columns_are_those_of_the_table_once_each(engine: AttachEngine, columns: list[int]) -> None:
    sent = ", ".join(f"#{column}" for column in columns)
    admitted = engine.admit(_scan(sent, "sessions"))
    are_all_there = all(1 <= column <= _COLUMNS_OF_SESSIONS for column in columns)
    if columns and are_all_there and len(set(columns)) == len(columns):
        assert admitted == _scan(sent, '"copy_1".main."sessions"')
    else:
        assert admitted is None


@given(st.text(max_size=200) | st.text("SELECTFROMsesions #123,;'\"()*-/", max_size=60))
def test_any_text_is_refused(engine: AttachEngine, sent: str) -> None:
    assert engine.admit(f"{sent} WHERE 1") is None


def test_copy_that_cannot_be_read_leaves_the_one_before(engine: AttachEngine, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"not a database" * 1000)
    with pytest.raises(duckdb.Error):
        engine.show(damaged)
    assert engine.admit("SELECT #1 FROM sessions") == 'SELECT #1 FROM "copy_1".main."sessions"'


def test_other_columns_are_not_shown_under_known_numbers(tmp_path: Path) -> None:
    make_copy(tmp_path / "copy.duckdb", rows=1)
    engine = AttachEngine(find_extensions(), links=tmp_path, memory_mb=256)
    engine.show(tmp_path / "copy.duckdb")
    make_copy(tmp_path / "copy.duckdb", rows=1, more="ALTER TABLE sessions RENAME run TO round")
    with pytest.raises(TablesChanged):
        engine.show(tmp_path / "copy.duckdb")
    engine.close()


def _scan(columns: str, table: str) -> str:
    return f"SELECT {columns} FROM {table}"  # noqa: S608 - what a client would send
