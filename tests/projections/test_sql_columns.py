"""A query is sent the columns and rows that it reads, and whatever it reads it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.errors import QueryError
from projections.query.catalog import Catalog, find_needs, find_texts, make_catalog, parse_select
from projections.query.relations import NOT_SENT, Relations
from projections.query.runner import QueryRunner, _select
from projections.query.scans import choose_columns, choose_equal, find_scanned
from projections.warehouse import Warehouse
from tests.projections.test_docs import QUESTIONS

_TABLES = {
    "kept.people": [("id", "INTEGER"), ("name", "VARCHAR"), ("facts", "JSON"), ("home", "STRUCT(town VARCHAR)")],
    "kept.visits": [("id", "INTEGER"), ("at", "TIMESTAMP"), ("odd name", "VARCHAR")],
}
_VIEWS = {
    "people": "SELECT id, name, facts ->> 'age' AS age, home.town AS town FROM kept.people",
    "visitors": "SELECT p.id, p.name, v.at FROM people AS p LEFT JOIN kept.visits AS v USING (id)",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Two tables, and views over them."""
    return make_catalog(_TABLES, _VIEWS)


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """As a query's child has one."""
    with duckdb.connect(":memory:") as connection:
        yield connection


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ("SELECT count(*) FROM people", {"kept.people": []}),
        ("SELECT name FROM people", {"kept.people": ["name"]}),
        ("SELECT id FROM people WHERE name = 'Ada'", {"kept.people": ["id", "name"]}),
        ("SELECT id FROM people WHERE false", {"kept.people": ["id"]}),
        ("SELECT id FROM people WHERE false AND name = 'Ada'", {"kept.people": ["id", "name"]}),
        ("SELECT id FROM people ORDER BY name LIMIT 1", {"kept.people": ["id", "name"]}),
        ("SELECT age FROM people", {"kept.people": ["facts"]}),
        ("WITH all_of AS MATERIALIZED (FROM people) SELECT id FROM all_of", {"kept.people": ["id"]}),
        ("SELECT name FROM visitors", {"kept.people": ["id", "name"], "kept.visits": None}),
        (
            "SELECT (SELECT max(name) FROM people AS q WHERE q.id = p.id) FROM people AS p",
            {"kept.people": ["id", "name"]},
        ),
        ("SELECT 1 FROM people, range(3)", {"kept.people": []}),
        ("DESCRIBE visitors", {}),
        ("SELECT id FROM kept.people", {"kept.people": ["id"]}),
        ("SELECT n FROM (VALUES (1)) AS people(n)", {}),
    ],
)
def test_the_plan_tells_the_columns(
    database: duckdb.DuckDBPyConnection, catalog: Catalog, statement: str, columns: dict[str, list[str] | None]
) -> None:
    needs = find_needs(parse_select(database, statement), catalog)
    relations = Relations(database, catalog)
    relations.make_all()
    scanned = find_scanned(database, statement, None)
    assert scanned is not None
    found = {
        table: choose_columns(table, scanned[relations.plan_name(table)], catalog)
        for table in needs.tables
        if relations.plan_name(table) in scanned
    }
    # Where a name is not plain, or a part of a column is read, it is all columns.
    assert found == {
        table: [name for name, _ in _TABLES[table]] if names is None else names for table, names in columns.items()
    }


@pytest.mark.parametrize(
    ("statement", "equal"),
    [
        ("SELECT id FROM people WHERE name = 'Ada'", {"name": "Ada"}),
        ("SELECT id FROM visitors WHERE 'O''Hara' = name AND id > 3", {"name": "O'Hara"}),
        ("SELECT id FROM people WHERE name = 'Ada' OR id = 3", {}),
        ("SELECT id FROM people WHERE lower(name) = 'ada'", {}),
        ("SELECT id FROM people WHERE name = 'Ada' COLLATE NOCASE", {}),
        ("SELECT count(*) FILTER (name = 'Ada') FROM people", {}),
        ("SELECT id FROM (SELECT *, row_number() OVER () FROM people) WHERE name = 'Ada'", {}),
        ("SELECT id FROM people TABLESAMPLE 10% WHERE name = 'Ada'", {}),
        ("SELECT p.id FROM people AS p, people AS q WHERE p.name = 'Ada'", {}),
        ("SELECT p.id FROM people AS p JOIN people AS q USING (name) WHERE p.name = 'Ada'", {"name": "Ada"}),
        ("SELECT id FROM people WHERE name = 'x\nname=''Ada''\n'", {}),
        ("SELECT id FROM people WHERE name != 'Ada'", {}),
        ("SELECT id FROM people WHERE name IN ('Ada', 'Eve')", {}),
        ("SELECT id FROM people WHERE id = '3'", {}),
    ],
)
def test_rows_are_left_out_only_where_no_scan_would_keep_them(
    database: duckdb.DuckDBPyConnection, catalog: Catalog, statement: str, equal: dict[str, str]
) -> None:
    relations = Relations(database, catalog)
    relations.make_all()
    scanned = find_scanned(database, statement, None, find_texts(parse_select(database, statement)))
    assert scanned is not None
    assert choose_equal("kept.people", scanned[relations.plan_name("kept.people")], catalog) == equal


def test_only_what_the_names_lead_to_is_made(database: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    needs = find_needs(parse_select(database, 'SELECT count(*) FROM "People"'), catalog)
    assert (needs.tables, needs.views, needs.looks_around) == (["kept.people"], ["people"], False)
    relations = Relations(database, catalog)
    relations.make(needs)
    assert database.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall() == [
        ("people",),
        ("people",),
    ]


@pytest.mark.parametrize("statement", ["SHOW TABLES", "FROM duckdb_views()", "FROM nowhere", "DESCRIBE people"])
def test_a_statement_that_looks_around_finds_every_name(
    database: duckdb.DuckDBPyConnection, catalog: Catalog, statement: str
) -> None:
    assert find_needs(parse_select(database, statement), catalog).looks_around


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT name FROM people",
        "SELECT count(name) FROM people",
        "SELECT id FROM people WHERE name = 'Ada'",
        "SELECT try(name) FROM people",
        "SELECT coalesce(try(name), 'nobody') FROM people",
        "SELECT name IS NULL FROM people",
        "SELECT id FROM people ORDER BY name",
        "SELECT row_number() OVER (ORDER BY name) FROM people",
        "FROM people",
        "SUMMARIZE people",
    ],
)
def test_a_column_that_was_not_sent_is_never_read_as_something_else(
    database: duckdb.DuckDBPyConnection, catalog: Catalog, statement: str
) -> None:
    relations = Relations(database, catalog)
    relations.make_all()
    relations.fill("kept.people", ["id"], database.execute("SELECT 1 AS id").to_arrow_table())
    with pytest.raises(duckdb.Error, match=NOT_SENT):
        database.execute(statement).fetchall()
    assert database.execute("SELECT id FROM people").fetchall() == [(1,)]


def answer_here(warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement in a database that has the columns which its plan tells, and no others."""
    catalog = warehouse.catalog()
    with duckdb.connect(":memory:") as database, warehouse.snapshot() as reader:
        needs = find_needs(parse_select(database, sql), catalog)
        relations = Relations(database, catalog)
        relations.make(needs)
        scanned = find_scanned(database, sql, None, find_texts(parse_select(database, sql)))
        assert scanned is not None
        for table in needs.tables:
            if (part := scanned.get(relations.plan_name(table))) is not None:
                names = [name for name, _ in catalog["tables"][table]]
                columns, equal = choose_columns(table, part, catalog), choose_equal(table, part, catalog)
                rows = _select(reader, table, names, {"columns": columns, "equal": equal})
                relations.fill(table, columns, rows.to_arrow_table())
        database.execute("SET TimeZone = 'UTC'")
        return database.execute(sql).fetchall()


@st.composite
def statements(draw: st.DrawFn, warehouse: Warehouse) -> str:
    """Some columns of a public table, of rows where others say something, next to another table or alone."""
    with warehouse.snapshot() as reader:
        rows = reader.execute("SELECT table_name, list(column_name) FROM duckdb_columns() WHERE schema_name = 'main' "
                              "AND NOT internal GROUP BY 1 ORDER BY 1").fetchall()  # fmt: skip
    tables: dict[str, list[str]] = dict(rows)
    table = draw(st.sampled_from(sorted(tables)))
    columns = [f"a.{name}" for name in sorted(tables[table])]
    source = f"{table} AS a"
    if "session_id" in tables[table] and draw(st.booleans()):
        other = draw(st.sampled_from(sorted(name for name in tables if "session_id" in tables[name])))
        source += (
            f" {draw(st.sampled_from(['LEFT JOIN', 'JOIN', 'SEMI JOIN']))} {other} AS b ON a.session_id = b.session_id"
        )
    shown = draw(st.lists(st.sampled_from(columns), unique=True, max_size=3)) or ["count(*) AS n"]
    kept = draw(st.sampled_from([*(f"{name} IS NOT NULL" for name in columns), "true", "false"]))
    if "session_id" in tables[table]:
        texts = ["a.session_id = 'session-000007'", "'session-000007' = a.session_id", "a.session_id LIKE '%7'", "true"]
        kept += draw(st.sampled_from([" AND ", " OR "])) + draw(st.sampled_from(texts))
    return f"SELECT {', '.join(shown)} FROM {source} WHERE {kept} ORDER BY ALL"  # noqa: S608 - names of our own


@given(data=st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_with_the_columns_of_its_plan_a_statement_says_what_the_warehouse_says(
    warehouse: Warehouse, data: st.DataObject
) -> None:
    statement = data.draw(statements(warehouse))
    with warehouse.snapshot() as reader:
        expected = reader.execute(statement).fetchall()
    assert answer_here(warehouse, statement) == expected


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_question_is_answered_from_the_columns_of_its_plan(warehouse: Warehouse, question: str) -> None:
    with warehouse.snapshot() as reader:
        expected = reader.execute(question).fetchall()
    assert sorted(map(str, answer_here(warehouse, question))) == sorted(map(str, expected))


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("SHOW TABLES", "calls"),
        ("DESCRIBE calls", "session_id"),
        ("SUMMARIZE sessions", "session_id"),
        ("SELECT view_name FROM duckdb_views() WHERE NOT internal", "conversations"),
    ],
)
def test_the_warehouse_can_be_looked_around_in(runner: QueryRunner, statement: str, finding: str) -> None:
    found = {value for row in ask(runner, statement) for value in row.values() if isinstance(value, str)}
    assert finding in found
    assert "rows_0" not in found or "duckdb" in statement


def test_a_name_that_is_none_is_answered_with_those_alike(runner: QueryRunner) -> None:
    with pytest.raises(QueryError, match='Did you mean "calls"'):
        runner.run("FROM cals")


def ask(runner: QueryRunner, sql: str) -> list[dict[str, Any]]:
    """The rows of an answer."""
    with runner.run(sql) as answer:
        rows: list[dict[str, Any]] = orjson.loads(b"".join(answer.chunks()))["rows"]
        return rows
