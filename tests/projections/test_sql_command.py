"""What `postcall sql` does with its options, beyond asking: parameters, and formats that are files."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from postcall.errors import UsageError
from projections.command_parameters import read_parameters
from projections.files import make_serving
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records

ROOT = Path(__file__).parents[2]


def run_sql(data_dir: Path, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "postcall", "sql", "--data-dir", str(data_dir), *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "POSTCALL_ENV_FILE": ""},
        cwd=ROOT,
        check=False,
        timeout=100,
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a warehouse of ten calls, on which nothing runs."""
    path = tmp_path_factory.mktemp("data")
    warehouse = Warehouse(path / "warehouse-1.duckdb")
    apply_records(warehouse, number_records(make_records(range(10))))
    warehouse.close()
    make_serving(path / "warehouse-1.duckdb")
    return path


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("n=5", 5),
        ("n=-1.5", -1.5),
        ("n=true", True),
        ("n=null", None),
        ('n="5"', "5"),
        ("n=+44 20", "+44 20"),
        ("n=0123", "0123"),
        ("n=NaN", "NaN"),
        ("n=[1]", "[1]"),
        ("n=a=b\nc", "a=b\nc"),
        ("n=", ""),
    ],
)
def test_a_value_is_what_it_looks_like(word: str, value: Any) -> None:
    assert read_parameters([word]) == {"n": value}


@pytest.mark.parametrize("words", [["n"], ["=5"], ["a b=5"], ["n=1", "n=2"]])
def test_what_is_no_parameter_is_wrong_usage(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--param"):
        read_parameters(words)


def test_parquet_of_a_question_with_parameters(data_dir: Path) -> None:
    question = (
        "SELECT session_id FROM calls WHERE session_id IN ($first, $second) AND duration_ms > $least ORDER BY ALL"
    )
    values = ("first=session-000003", "second=session-000007", "least=1")
    options = [word for value in values for word in ("--param", value)]
    ran = run_sql(data_dir, "--format", "parquet", *options, question)
    assert (ran.returncode, ran.stderr) == (0, b"")
    table = pa.parquet.read_table(io.BytesIO(ran.stdout))
    assert table.column("session_id").to_pylist() == ["session-000003", "session-000007"]


def test_arrow_goes_to_a_program(data_dir: Path) -> None:
    ran = run_sql(data_dir, "--format", "arrow", "SELECT count(*) AS n FROM calls")
    assert pa.ipc.open_stream(ran.stdout).read_all().to_pylist() == [{"n": 10}]


def test_what_is_no_text_is_not_for_a_terminal(data_dir: Path) -> None:
    controller, terminal = pty.openpty()
    try:
        ran = run_sql(data_dir, "--format", "parquet", "FROM calls", stdout=terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    assert ran.returncode == 2
    assert b"not for a terminal" in ran.stderr
