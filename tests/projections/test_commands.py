"""`postcall sql` as a person or a script runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postcall.instance import Instance, write_instance
from projections.files import make_serving
from projections.running import find_service
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.conftest import Service, fill_log
from tests.projections.logbook import apply_records, number_records
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


def run_sql(data_dir: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "postcall", "sql", "--data-dir", str(data_dir), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, "POSTCALL_ENV_FILE": "", "COLUMNS": "80"},
        cwd=ROOT,
        check=False,
        timeout=60,
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


def test_json_is_an_array_of_row_objects(data_dir: Path) -> None:
    ran = run_sql(data_dir, "--format", "json", "SELECT session_id, cost_usd, result FROM insights ORDER BY 1 LIMIT 2")
    assert ran.returncode == 0
    assert ran.stderr == ""
    rows = json.loads(ran.stdout)
    assert [row["session_id"] for row in rows] == ["session-000000", "session-000001"]
    assert rows[0]["cost_usd"] == 0.0012
    assert rows[0]["result"]["sentiment"] == "happy"


def test_csv_comes_from_a_statement_on_stdin(data_dir: Path) -> None:
    ran = run_sql(data_dir, "--format", "csv", "-", stdin="SELECT count(*) AS n FROM sessions")
    assert ran.stdout == "n\n10\n"


@pytest.mark.parametrize("statement", ["SELECT role, count(*) AS turns FROM transcripts GROUP BY ALL", "FROM calls"])
def test_a_table_fits_the_terminal(data_dir: Path, statement: str) -> None:
    ran = run_sql(data_dir, statement)
    assert ran.returncode == 0
    assert ran.stdout
    assert max(len(line.rstrip()) for line in ran.stdout.splitlines()) <= 80


def test_no_rows_are_an_empty_array(data_dir: Path) -> None:
    assert run_sql(data_dir, "--format", "json", "FROM calls WHERE false").stdout == "[]\n"


def test_an_error_is_one_line_and_exit_code_1(data_dir: Path) -> None:
    ran = run_sql(data_dir, "SELECT nothing FROM calls")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith("postcall: Binder Error:")
    assert "(at character 8)" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_wrong_usage_is_exit_code_2(data_dir: Path) -> None:
    assert run_sql(data_dir, "--format", "xml", "SELECT 1").returncode == 2
    assert run_sql(data_dir).returncode == 2


def test_without_a_warehouse_it_says_how_to_get_one(tmp_path: Path) -> None:
    ran = run_sql(tmp_path, "FROM calls")
    assert ran.returncode == 1
    assert "postcall demo" in ran.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_service_that_runs_by_itself_is_asked(
    log_address: str, tmp_path: Path, start_service: Callable[[str, Path], Service]
) -> None:
    await fill_log(log_address, range(4))
    service = start_service(log_address, tmp_path / "data")

    async def has_all() -> bool:
        return await service.count("sessions") == 4

    await eventually(has_all)
    ran = run_sql(tmp_path / "data", "--format", "json", "SELECT count(*) AS n FROM sessions")
    assert (ran.stderr, json.loads(ran.stdout)) == ("", [{"n": 4}])


async def test_a_service_that_was_killed_is_not_asked_any_more(
    log_address: str, tmp_path: Path, start_service: Callable[[str, Path], Service]
) -> None:
    await fill_log(log_address, range(4))
    service = start_service(log_address, tmp_path / "data")

    async def has_all() -> bool:
        return await service.count("sessions") == 4

    await eventually(has_all)
    service.kill()
    ran = run_sql(tmp_path / "data", "--format", "json", "SELECT count(*) AS n FROM sessions")
    assert (ran.stderr, json.loads(ran.stdout)) == ("", [{"n": 4}])


async def test_with_a_pipeline_running_it_asks_that(
    log_address: str, tmp_path: Path, start_service: Callable[[str, Path], Service]
) -> None:
    await fill_log(log_address, range(4))
    service = start_service(log_address, tmp_path / "data")

    async def has_all() -> bool:
        return await service.count("sessions") == 4

    await eventually(has_all)
    found = find_service(tmp_path / "data")
    assert found is not None
    instance = Instance(ingest="http://127.0.0.1:1", private=service.address, log=log_address, instance=found.instance)
    write_instance(tmp_path / "data", instance)
    ran = run_sql(tmp_path / "data", "--format", "json", "SELECT count(*) AS n FROM sessions")
    assert (ran.stderr, json.loads(ran.stdout)) == ("", [{"n": 4}])
    failed = run_sql(tmp_path / "data", "DROP TABLE sessions")
    assert failed.returncode == 1
    assert "Only statements that read" in failed.stderr


def test_while_another_process_has_the_warehouse_it_says_who(data_dir: Path) -> None:
    held = Warehouse(data_dir / "warehouse-1.duckdb")
    try:
        ran = run_sql(data_dir, "FROM calls")
    finally:
        held.close()
    assert ran.returncode == 2
    assert str(os.getpid()) in ran.stderr
