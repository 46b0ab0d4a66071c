"""The view of an analyzer is made from the schema of its results: the shipped ones, and one of any other."""

from __future__ import annotations

from importlib import resources
from typing import Any

import duckdb
import pytest

from projections.documentation import describe_files
from projections.insight_views import write_insight_view
from projections.sql_files import read_sql
from streams.analyzers import ANALYZERS, Analyzer


@pytest.mark.parametrize("analyzer", ANALYZERS, ids=lambda analyzer: analyzer.name)
def test_the_view_of_every_analyzer_is_what_its_schema_says(analyzer: Analyzer) -> None:
    file = resources.files("projections") / "sql" / "views" / f"insight_{analyzer.name}.sql"
    assert file.read_text("utf-8") == write_insight_view(analyzer.name, analyzer.output.model_json_schema())


def show(schema: dict[str, Any], result: str) -> dict[tuple[str, str], Any]:
    """The one row of the view of a schema, and the types of its columns."""
    file = read_sql(
        write_insight_view("tried", schema), name="insight_tried", path="insight_tried.sql", is_shipped=False
    )
    with duckdb.connect(":memory:") as database:
        database.execute(
            "CREATE TABLE current_insights AS SELECT 'tried' AS analyzer, 's' AS session_id, 1 AS revision, "
            "?::JSON AS result, 'm' AS model, 1 AS occurred_at, 2 AS produced_at, 0.5 AS cost_usd, FALSE AS is_stale",
            [result],
        )
        answer = database.execute(file["view"])
        columns = [(column[0], str(column[1])) for column in answer.description]
        (row,) = answer.fetchall()
    return dict(zip(columns, row, strict=True))


def test_fields_become_columns_of_their_types() -> None:
    schema = {
        "properties": {
            "score": {"type": "integer"},
            "share": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "is_urgent": {"type": ["boolean", "null"]},
            "topics": {"type": "array", "items": {"enum": ["a", "b"], "type": "string"}},
            "order": {"type": "object", "properties": {"id": {"type": "string"}}},
            "model": {"type": "string", "description": "Which  car\n it is."},
            'it\'s "odd"': {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        }
    }
    result = (
        '{"score": 3, "share": 0.5, "is_urgent": null, "topics": ["a"], "order": {"id": "x"}, "model": "T", '
        '"it\'s \\"odd\\"": 7}'
    )
    assert show(schema, result) == {
        ("session_id", "VARCHAR"): "s",
        ("revision", "INTEGER"): 1,
        ("score", "BIGINT"): 3,
        ("share", "DOUBLE"): 0.5,
        ("is_urgent", "BOOLEAN"): None,
        ("topics", "VARCHAR[]"): ["a"],
        ("order", "JSON"): '{"id":"x"}',
        ("result_model", "VARCHAR"): "T",
        ('it\'s "odd"', "JSON"): "7",
        ("model", "VARCHAR"): "m",
        ("occurred_at", "INTEGER"): 1,
        ("produced_at", "INTEGER"): 2,
        ("cost_usd", "DECIMAL(2,1)"): 0.5,
        ("is_stale", "BOOLEAN"): False,
    }
    words = describe_files([write_insight_view("tried", schema)])["insight_tried"].columns
    assert words["result_model"] == "which car it is"


def test_a_result_of_another_shape_is_empty_and_stops_nobody() -> None:
    row = show({"properties": {"score": {"type": "integer"}}}, '{"score": "high", "more": 1}')
    assert row["score", "BIGINT"] is None


@pytest.mark.parametrize(
    ("analyzer", "fields"),
    [("Sales", ["a"]), ("x; DROP", ["a"]), ("tried", []), ("tried", ["a", "A"]), ("tried", ["a\nb"]), ("tried", [""])],
)
def test_what_cannot_be_a_view_is_refused(analyzer: str, fields: list[str]) -> None:
    with pytest.raises(ValueError, match=r"name|field"):
        write_insight_view(analyzer, {"properties": {field: {"type": "string"} for field in fields}})
