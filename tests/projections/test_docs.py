"""The documents say what is so: the words of every column, and that each question of docs/sql.md has an answer."""

from __future__ import annotations

import dataclasses
import re
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
import pytest

from projections.documentation import describe_files, describe_tables
from projections.query.runner import QueryRunner
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from projections.warehouse_page import read_schema, renew_page

DOCS = Path(__file__).parents[2] / "docs"
QUESTIONS = re.findall(r"```sql\n(.*?)```", (DOCS / "sql.md").read_text("utf-8"), re.DOTALL)


LEAKING = "Turn {turn} of call {call}: the boiler has been leaking since Tuesday."
SWITCHED_OFF = "Recording is switched off."
WHO = ("assistant", "user")


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


#: Of the thirty calls: what each answer begins with, and how many rows it has.
ANSWERS: list[tuple[dict[str, Any], int]] = [
    ({"day": "2026-02-03", "sessions": 30, "average_minutes": 0.7}, 1),
    ({"intent": "book a repair", "calls": 30, "frustrated": 10}, 1),
    ({"started_at": "2026-02-03T12:23:00Z", "customer_name": "Ada", "follow_up": "send the plumber"}, 15),
    ({"session_id": "session-000000", "seq": 1, "role": "assistant", "text": LEAKING.format(turn=0, call=0)}, 20),
    ({"transcript": "\n".join(f"{WHO[turn % 2]}: {LEAKING.format(turn=turn, call=29)}" for turn in range(6))}, 1),
    ({"session_id": "session-000005", "recording_state": "unavailable", "recording_reason": SWITCHED_OFF}, 3),
    ({"from_number": "+442079460001", "calls": 30, "latest": "2026-02-03T12:23:00Z"}, 1),
    ({"tenant": "acme", "calls": 30}, 1),
    ({"day": "2026-02-03", "model": "local", "analyses": 30, "tokens_in": 3600, "cost_usd": 0.036}, 1),
    (
        {
            "agent_id": "agent-1",
            "sessions": 30,
            "session_latency_p50_ms": 640,
            "session_latency_p95_ms": 640,
            "frustrated_ratio": 1 / 3,
            "resolved_ratio": 2 / 3,
        },
        1,
    ),
]


@pytest.mark.parametrize(("question", "answer"), list(zip(QUESTIONS, ANSWERS, strict=True)), ids=range(10))
def test_a_question_has_its_answer(runner: QueryRunner, question: str, answer: tuple[dict[str, Any], int]) -> None:
    rows = orjson.loads(b"".join(runner.run(question).chunks()))["rows"]
    first, count = answer
    assert len(rows) == count
    assert {name: value if isinstance(value, str) else pytest.approx(value) for name, value in rows[0].items()} == first


def test_every_limit_is_documented() -> None:
    text = (DOCS / "sql.md").read_text("utf-8")
    for field in dataclasses.fields(QuerySettings):
        assert f"POSTCALL_{field.name.upper()} | {field.default:g} |" in text
