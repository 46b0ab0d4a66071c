"""Answers as programs, spreadsheets and terminals get them."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from projections.errors import QueryError
from projections.query.runner import QueryRunner


def ask(runner: QueryRunner, sql: str, **options: Any) -> bytes:
    """The body of an answer."""
    with runner.run(sql, **options) as answer:
        return b"".join(answer.chunks())


def ask_value(runner: QueryRunner, expression: str) -> Any:
    """The one value of an expression, as JSON has it."""
    return orjson.loads(ask(runner, f"SELECT {expression} AS value"))["rows"][0]["value"]


def ask_cell(runner: QueryRunner, text: str) -> str:
    """A text as CSV has it."""
    body = ask(runner, "SELECT ? AS cell", parameters=[text], answer_format="csv")
    return list(csv.reader(io.StringIO(body.decode(), newline="")))[1][0]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("TIMESTAMPTZ '2026-02-03 10:14:02.117+01'", "2026-02-03T09:14:02.117000Z"),
        ("DATE '2026-02-03'", "2026-02-03"),
        ("TIMETZ '09:14:02+01'", "09:14:02+01:00"),
        ("1.50::DECIMAL(9, 2)", 1.5),
        ("'{\"a\": [1, null]}'::JSON", {"a": [1, None]}),
        ("[1, NULL]", [1, None]),
        (
            "{'at': TIMESTAMPTZ '2026-02-03 09:00:00Z', 'd': 0.1::DECIMAL(3, 1)}",
            {"at": "2026-02-03T09:00:00Z", "d": 0.1},
        ),
        ("sum(1::BIGINT)", 1),
        ("'NaN'::DOUBLE", "NaN"),
        ("'-inf'::FLOAT", "-Infinity"),
        ("['inf'::DOUBLE, 1.5, NULL]", ["Infinity", 1.5, None]),
        ("{'a': [{'b': 'nan'::DOUBLE}]}", {"a": [{"b": "NaN"}]}),
        ("[2::HUGEINT]", [2]),
        ("'[NaN]'::JSON", "[NaN]"),
        ("'ab'::BLOB", "6162"),
        ("NULL", None),
        ("MAP {1: 'a'}", {"1": "a"}),
    ],
)
def test_json_has_what_programs_expect(runner: QueryRunner, expression: str, value: Any) -> None:
    assert ask_value(runner, expression) == value


def test_an_integer_wider_than_64_bits_keeps_its_digits(runner: QueryRunner) -> None:
    body = ask(runner, "SELECT 9223372036854775807::HUGEINT * 100 AS n, [n] AS m")
    assert b'{"n":922337203685477580700,"m":[922337203685477580700]}' in body


@pytest.mark.parametrize("answer_format", ["json", "csv"])
def test_no_control_character_comes_out_as_it_is(runner: QueryRunner, answer_format: str) -> None:
    body = ask(
        runner,
        "SELECT ? AS a, json_object('k', $1) AS b",
        parameters=["\x1b[2J\x07\x7f\x9b31mé"],
        answer_format=answer_format,
    ).decode()
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in body.replace("\r\n", ""))
    assert "é" in body
    if answer_format == "json":
        assert orjson.loads(body)["rows"][0]["a"] == "\x1b[2J\x07\x7f\x9b31mé"


def test_columns_of_one_name_are_told_apart(runner: QueryRunner) -> None:
    sql = "SELECT 1 AS a, 2 AS a"
    assert orjson.loads(ask(runner, sql))["rows"] == [{"a": 1, "a_2": 2}]
    assert pa.parquet.read_table(io.BytesIO(ask(runner, sql, answer_format="parquet"))).to_pylist() == [
        {"a": 1, "a_2": 2}
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_csv_cell_is_no_formula(runner: QueryRunner, start: str) -> None:
    assert ask_cell(runner, start + "1") == "'" + start + "1"


def test_a_csv_cell_keeps_its_lines_and_quotes(runner: QueryRunner) -> None:
    assert ask_cell(runner, 'one\ntwo, "three"') == 'one\ntwo, "three"'


def test_csv_leaves_numbers_alone(runner: QueryRunner) -> None:
    sql = "SELECT -1 AS a, -1.5::DOUBLE AS b, NULL AS c, true AS d, 'nan'::DOUBLE AS e, ['inf'::DOUBLE] AS f"
    assert ask(runner, sql, answer_format="csv") == b'a,b,c,d,e,f\r\n-1,-1.5,,true,NaN,"[""Infinity""]"\r\n'


def test_arrow_is_a_stream_of_the_same_rows(runner: QueryRunner) -> None:
    body = ask(runner, "SELECT session_id FROM sessions ORDER BY 1", answer_format="arrow", max_rows=5)
    table = pa.ipc.open_stream(body).read_all()
    assert table.column("session_id").to_pylist() == [f"session-{number:06}" for number in range(5)]


def test_parquet_is_a_file_of_the_same_rows(runner: QueryRunner) -> None:
    with runner.run("SELECT * FROM calls ORDER BY session_id", answer_format="parquet", max_rows=5) as answer:
        table = pa.parquet.read_table(io.BytesIO(b"".join(answer.chunks())))
        assert answer.is_truncated
    rows = orjson.loads(ask(runner, "SELECT * FROM calls ORDER BY session_id LIMIT 5"))["rows"]
    assert table.column_names == list(rows[0])
    assert table.column("session_id").to_pylist() == [row["session_id"] for row in rows]


def test_what_parquet_cannot_hold_is_said(runner: QueryRunner) -> None:
    with pytest.raises(QueryError, match="could not be written"):
        runner.run("SELECT INTERVAL 1 DAY", answer_format="parquet")


@pytest.mark.parametrize("answer_format", ["json", "csv", "arrow", "parquet"])
def test_an_answer_without_rows_has_its_columns(runner: QueryRunner, answer_format: str) -> None:
    assert b"summary_model" in ask(runner, "FROM calls WHERE false", answer_format=answer_format)
