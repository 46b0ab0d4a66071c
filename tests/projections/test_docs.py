"""The documents say what is so: the words of every column, and that each question of docs/sql.md has an answer."""

from __future__ import annotations

import dataclasses
import re
from importlib import resources
from pathlib import Path

import orjson
import pytest

from projections.documentation import describe_files, describe_tables
from projections.query.runner import QueryRunner
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from projections.warehouse_page import read_schema, renew_page

DOCS = Path(__file__).parents[2] / "docs"
QUESTIONS = re.findall(r"```sql\n(.*?)```", (DOCS / "sql.md").read_text("utf-8"), re.DOTALL)


def test_the_page_is_what_the_sql_files_say(warehouse: Warehouse) -> None:
    page = (DOCS / "warehouse.md").read_text("utf-8")
    assert renew_page(page, read_schema(warehouse)) == page, "python -m projections.warehouse_page docs/warehouse.md"


def test_every_table_and_column_has_words_and_no_words_are_of_a_column_that_is_not(warehouse: Warehouse) -> None:
    words = describe_tables()
    schema = read_schema(warehouse)
    assert words.keys() == schema.keys()
    for name, columns in schema.items():
        assert [column for column, _ in columns if not words[name].columns.get(column)] == [], name
    for name, own in own_words().items():
        assert set(own) <= {column for column, _ in schema[name]}, name


def own_words() -> dict[str, set[str]]:
    """The columns that a file has words for itself, by the file's name."""
    folder = resources.files("projections") / "sql"
    texts = [
        file.read_text("utf-8") for part in (folder, folder / "views") for file in part.iterdir() if file.is_file()
    ]
    # Alone, a file inherits nothing.
    return {name: set(words.columns) for text in texts for name, words in describe_files([text]).items()}


def test_a_view_has_the_words_of_what_it_is_over_where_it_has_none_itself() -> None:
    view = "-- wide: one row\n-- of both.\n-- over: narrow, deep\n--\n-- columns:\n--   b  own\n--      words\n"
    narrow = "-- narrow: one row.\n-- reads: events (SessionEnded)\n--\n-- columns:\n--   a  first\n--   b  second\n"
    deep = "-- deep: one row.\n-- over: wide\n-- columns:\n--   a  third\n--   c  fourth\n--\n-- A reason.\n"
    words = describe_files([view, narrow, deep])
    assert words["wide"].meaning == "one row of both."
    assert words["narrow"].columns == {"a": "first", "b": "second"}
    # Also where two are over each other, which the engine refuses later.
    assert words["wide"].columns["b"] == "own words"
    assert words["wide"].columns["a"] == "first"


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
