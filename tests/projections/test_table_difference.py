"""In what a table of two warehouses differs: rows, columns and sessions are counted, and no content is told."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from postcall.generation_warehouses import TableDifference
from projections.table_difference import compare_table


@pytest.fixture
def both() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS before; ATTACH ':memory:' AS after")
        connection.execute("CREATE TABLE left_out (session_id VARCHAR)")
        yield connection


def fill(both: duckdb.DuckDBPyConnection, columns: str, before: str, after: str) -> TableDifference | None:
    for side, rows in (("before", before), ("after", after)):
        both.execute(f"CREATE TABLE {side}.main.things AS SELECT * FROM (VALUES {rows}) AS t({columns})")  # noqa: S608 - our own
    return compare_table(both, "things")


def test_rows_of_a_session_are_told_apart_by_its_id(both: duckdb.DuckDBPyConnection) -> None:
    found = fill(
        both,
        "session_id, words, minutes",
        "('a', 'same', 1), ('b', 'old', 1), ('c', 'old', NULL), ('gone', 'x', 1)",
        "('a', 'same', 1), ('b', 'new', 1), ('c', 'new', 3), ('come', 'x', 1), ('more', 'x', 1)",
    )
    assert found == TableDifference(
        table="things",
        rows_before=4,
        rows_after=5,
        only_before=1,
        only_after=2,
        changed=2,
        key=("session_id",),
        columns={"words": 2, "minutes": 1},
        examples=("b", "c", "come", "gone", "more"),
    )


def test_rows_of_a_transcript_are_told_apart_by_their_place(both: duckdb.DuckDBPyConnection) -> None:
    found = fill(both, "session_id, seq, words", "('a', 0, 'x'), ('a', 1, 'y')", "('a', 0, 'x'), ('a', 1, 'z')")
    assert found is not None
    assert (found.key, found.changed, found.columns) == (("session_id", "seq"), 1, {"words": 1})


def test_rows_that_nothing_tells_apart_are_compared_whole(both: duckdb.DuckDBPyConnection) -> None:
    found = fill(both, "day, calls", "(1, 5), (1, 5), (2, 7)", "(1, 5), (2, 8)")
    assert found is not None
    assert (found.key, found.only_before, found.only_after, found.changed) == ((), 2, 1, 0)
    assert (found.examples, found.is_equal) == ((), False)


def test_sessions_that_are_left_out_are_in_no_count(both: duckdb.DuckDBPyConnection) -> None:
    both.execute("INSERT INTO left_out VALUES ('b')")
    found = fill(both, "session_id, words", "('a', 'x'), ('b', 'x')", "('a', 'x'), ('b', 'y')")
    assert found is not None
    assert (found.rows_before, found.rows_after, found.is_equal) == (1, 1, True)


def test_a_table_with_other_columns_is_not_compared(both: duckdb.DuckDBPyConnection) -> None:
    both.execute("CREATE TABLE before.main.things (a INTEGER); CREATE TABLE after.main.things (b INTEGER)")
    assert compare_table(both, "things") is None


def test_a_column_may_have_any_name(both: duckdb.DuckDBPyConnection) -> None:
    found = fill(both, 'session_id, "a ""b"""', "('s', 1)", "('s', 2)")
    assert found is not None
    assert found.columns == {'a "b"': 1}
