"""The documents say what is so: every table and column is in docs/warehouse.md, every question of docs/sql.md runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import orjson
import pytest

from projections.query.runner import QueryRunner
from projections.settings import QuerySettings
from projections.warehouse import Warehouse

DOCS = Path(__file__).parents[2] / "docs"
QUESTIONS = re.findall(r"```sql\n(.*?)```", (DOCS / "sql.md").read_text("utf-8"), re.DOTALL)
_SHORT_TYPES = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}


def documented_columns() -> dict[str, list[tuple[str, str]]]:
    """Columns and types, by the table's name, as the document has them."""
    sections = re.split(r"^## (\w+)$", (DOCS / "warehouse.md").read_text("utf-8"), flags=re.MULTILINE)
    row = re.compile(r"^\| (?!column)(\w+) \| (\S+) \| \S.*\|$", re.MULTILINE)
    return {name: row.findall(text) for name, text in zip(sections[1::2], sections[2::2], strict=True)}


def test_every_public_table_is_documented_with_its_columns(warehouse: Warehouse) -> None:
    with warehouse.snapshot() as reader:
        rows = reader.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name = 'main' AND NOT internal ORDER BY table_name, column_index"
        ).fetchall()
    schema: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        schema.setdefault(table, []).append((column, _SHORT_TYPES.get(kind, kind)))
    assert documented_columns() == schema


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_question_has_an_answer(runner: QueryRunner, question: str) -> None:
    answer = orjson.loads(b"".join(runner.run(question).chunks()))
    assert answer["rows"]


def test_every_limit_is_documented() -> None:
    text = (DOCS / "sql.md").read_text("utf-8")
    for field in dataclasses.fields(QuerySettings):
        assert f"POSTCALL_{field.name.upper()} | {field.default:g} |" in text
