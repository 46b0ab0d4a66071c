"""`postcall export`: what the warehouse holds as files for other tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset
import pytest

from postcall.settings import Settings
from projections.exporting.databases import export_database
from projections.exporting.errors import ExportRefused
from projections.exporting.parquet import TableExport, export_tables, hold_export
from projections.exporting.snapshots import open_snapshot
from projections.files import make_serving
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.conftest import Service, fill_log
from tests.projections.logbook import apply_records, number_records
from tests.waiting import eventually

#: A call every seven minutes: these are of two days.
TWO_DAYS = range(128, 134)
ROOT = Path(__file__).parents[2]


def make_warehouse(data_dir: Path, calls: range) -> None:
    """Let a directory have a warehouse with these calls, beside those that it has, and nothing that runs."""
    data_dir.mkdir(exist_ok=True)
    path = data_dir / "warehouse-1.duckdb"
    path.unlink(missing_ok=True)
    warehouse = Warehouse(path)
    apply_records(warehouse, number_records(make_records(calls)))
    warehouse.close()
    make_serving(path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with calls of two days, only to be read."""
    path = tmp_path_factory.mktemp("export") / "data"
    make_warehouse(path, TWO_DAYS)
    return path


def export(
    data_dir: Path, target: Path, *, timezone: str = "UTC", only: tuple[str, ...] = ()
) -> dict[str, TableExport]:
    """Export to Parquet, as the command does."""
    settings = Settings(data_dir=data_dir, reporting_timezone=timezone)
    with hold_export(target), open_snapshot(settings) as snapshot:
        return {table.name: table for table in export_tables(snapshot, target, only=only)}


def rows_of(target: Path, table: str) -> list[tuple[Any, ...]]:
    """What anybody's DuckDB reads of an exported table."""
    files = f"{target}/{table}/**/*.parquet"
    with duckdb.connect() as reader:
        reader.execute("SET TimeZone = 'UTC'")
        return reader.execute("FROM read_parquet(?, hive_partitioning = true) ORDER BY ALL", [files]).fetchall()


@contextmanager
def reading(data_dir: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse itself."""
    with open_snapshot(Settings(data_dir=data_dir)) as snapshot:
        yield snapshot.reader


def files_in(target: Path) -> dict[str, int]:
    """Every data file with its inode, which a file that is put in place anew changes."""
    return {str(path.relative_to(target)): path.stat().st_ino for path in target.rglob("*.parquet")}


def test_every_public_table_comes_back_with_its_day(filled: Path, tmp_path: Path) -> None:
    exported = export(filled, tmp_path)
    with reading(filled) as warehouse:
        for name, table in exported.items():
            select, rows = f"SELECT * FROM {name}", rows_of(tmp_path, name)  # noqa: S608 - a name of ours
            kept = [row[: len(warehouse.execute(select).description or [])] for row in rows]
            if name not in {"daily_metrics", "costs"}:
                assert sorted(map(str, kept)) == sorted(map(str, warehouse.execute(select).fetchall())), name
            assert len(rows) == table.rows, name
    assert {"calls", "transcripts", "dead_letters", "checkpoints", "agent_metrics"} <= set(exported)


def test_rows_lie_on_their_sessions_day_in_the_reporting_time_zone(filled: Path, tmp_path: Path) -> None:
    export(filled, tmp_path / "utc", only=("calls", "transcripts"))
    export(filled, tmp_path / "tokyo", timezone="Asia/Tokyo", only=("calls", "transcripts"))
    with reading(filled) as warehouse:
        for folder, timezone in (("utc", "UTC"), ("tokyo", "Asia/Tokyo")):
            days = warehouse.execute(
                "SELECT CAST(timezone(?, s.started_at) AS DATE), count(*) FROM transcripts JOIN sessions AS s"
                " USING (session_id) GROUP BY ALL ORDER BY ALL",
                [timezone],
            ).fetchall()
            found = [(day, rows) for *_, day, rows in counted(tmp_path / folder, "transcripts")]
            assert found == days
    assert len(counted(tmp_path / "utc", "calls")) == 2


def counted(target: Path, table: str) -> list[tuple[Any, ...]]:
    """Days with their rows."""
    with duckdb.connect() as reader:
        return reader.execute(
            f"SELECT day, count(*) FROM read_parquet('{target}/{table}/**/*.parquet', hive_partitioning = true)"  # noqa: S608 - our own folder
            " GROUP BY day ORDER BY day"
        ).fetchall()


def test_a_second_export_writes_nothing(filled: Path, tmp_path: Path) -> None:
    only = ("calls", "checkpoints", "dead_letters")
    first = export(filled, tmp_path, only=only)
    before = files_in(tmp_path)
    second = export(filled, tmp_path, only=only)
    assert files_in(tmp_path) == before
    assert all(table.written == table.files for table in first.values())
    assert all((table.written, table.removed) == (0, 0) for table in second.values())


def test_only_days_that_changed_are_written_again(tmp_path: Path) -> None:
    target = tmp_path / "out"
    make_warehouse(tmp_path / "data", range(128, 131))
    export(tmp_path / "data", target, only=("calls", "transcripts"))
    before = files_in(target)
    make_warehouse(tmp_path / "data", range(128, 134))
    exported = export(tmp_path / "data", target, only=("calls", "transcripts"))
    assert len(rows_of(target, "calls")) == 6
    kept = {name for name, inode in files_in(target).items() if before.get(name) == inode}
    assert kept, "the first day did not change"
    assert exported["calls"].written == exported["calls"].files - len([name for name in kept if "calls" in name])
    assert exported["calls"].written


def test_a_day_without_rows_is_removed_and_so_is_a_table_that_is_gone(tmp_path: Path) -> None:
    target = tmp_path / "out"
    make_warehouse(tmp_path / "data", TWO_DAYS)
    export(tmp_path / "data", target)
    gone = target / "refunds" / "day=2026-02-03"
    gone.mkdir(parents=True)
    shutil.copy(next((target / "calls").rglob("*.parquet")), gone / "part-0.parquet")
    manifest = json.loads((target / "_manifest.json").read_text("utf-8"))
    manifest["tables"]["refunds"] = manifest["tables"]["calls"]
    (target / "_manifest.json").write_text(json.dumps(manifest), "utf-8")
    make_warehouse(tmp_path / "data", range(132, 134))
    exported = export(tmp_path / "data", target)
    assert exported["calls"].removed == 1
    assert len(rows_of(target, "calls")) == 2
    assert not gone.exists()
    assert len(list((target / "calls").iterdir())) == 1


def test_what_was_cut_off_is_done_again(filled: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=filled)
    with hold_export(tmp_path), open_snapshot(settings) as snapshot:
        tables = export_tables(snapshot, tmp_path)
        while next(tables).name != "calls":
            pass
    assert not (tmp_path / "_manifest.json").exists()
    (tmp_path / "_drafts").mkdir()
    (tmp_path / "_drafts" / "part-0.parquet").write_bytes(b"half a file")
    next((tmp_path / "calls").rglob("*.parquet")).unlink()
    export(filled, tmp_path)
    assert len(rows_of(tmp_path, "calls")) == len(TWO_DAYS)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("_")) == ["_lock", "_manifest.json"]


def test_a_file_that_was_deleted_or_changed_is_written_again(filled: Path, tmp_path: Path) -> None:
    export(filled, tmp_path, only=("calls",))
    deleted, changed = sorted((tmp_path / "calls").rglob("*.parquet"))
    deleted.unlink()
    changed.write_bytes(b"")
    assert export(filled, tmp_path, only=("calls",))["calls"].written == 2
    assert len(rows_of(tmp_path, "calls")) == len(TWO_DAYS)


def test_two_exports_to_one_folder_are_told(filled: Path, tmp_path: Path) -> None:
    with hold_export(tmp_path), pytest.raises(ExportRefused, match=f"process {os.getpid()}"):
        export(filled, tmp_path)


def test_a_table_that_there_is_not_is_refused_by_name(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match=r"no table cals\. There are: agent_metrics, calls"):
        export(filled, tmp_path, only=("cals",))


def test_pyarrow_reads_it_with_the_names_that_spark_gives(filled: Path, tmp_path: Path) -> None:
    export(filled, tmp_path, only=("calls", "dead_letters"))
    calls = pyarrow.dataset.dataset(tmp_path / "calls", partitioning="hive").to_table()
    assert calls.num_rows == len(TWO_DAYS)
    assert "day" in calls.column_names
    # A table without rows can be read all the same, and has its columns.
    empty = pyarrow.dataset.dataset(tmp_path / "dead_letters", partitioning="hive").to_table()
    assert (empty.num_rows, "reason" in empty.column_names) == (0, True)


def test_a_database_is_replaced_and_nothing_else_is(filled: Path, tmp_path: Path) -> None:
    target, settings = tmp_path / "calls.duckdb", Settings(data_dir=filled)
    export_database(target, settings)
    exported = export_database(target, settings)
    assert exported.bytes == target.stat().st_size
    with duckdb.connect(target, read_only=True) as database:
        assert database.execute("SELECT count(*) FROM calls").fetchall() == [(len(TWO_DAYS),)]
    notes = tmp_path / "notes.txt"
    notes.write_text("not a database, but dear", "utf-8")
    for refused in (notes, tmp_path, filled / "warehouse-1.duckdb", tmp_path / "nowhere" / "x.duckdb"):
        with pytest.raises(ExportRefused):
            export_database(refused, settings)
    assert notes.read_text("utf-8") == "not a database, but dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.duckdb", "notes.txt"]


def run_export(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `postcall export` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "postcall", "export", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "POSTCALL_ENV_FILE": ""},
        cwd=ROOT,
        check=False,
        timeout=100,
    )


async def test_with_a_pipeline_running_both_export_what_it_has_now(
    log_address: str, tmp_path: Path, start_service: Callable[[str, Path], Service]
) -> None:
    await fill_log(log_address, range(3))
    data_dir = tmp_path / "data"
    service = start_service(log_address, data_dir)

    async def has_all() -> bool:
        return await service.count("sessions") == 3

    await eventually(has_all)
    ran = run_export("parquet", str(tmp_path / "out"), "--table", "calls", "--data-dir", str(data_dir), "--json")
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert json.loads(ran.stdout)["tables"] == [{"name": "calls", "rows": 3, "files": 1, "written": 1, "removed": 0}]
    ran = run_export("duckdb", str(tmp_path / "calls.duckdb"), "--data-dir", str(data_dir), "--json")
    assert json.loads(ran.stdout)["bytes"] == (tmp_path / "calls.duckdb").stat().st_size
    assert len(rows_of(tmp_path / "out", "calls")) == 3


def test_without_a_warehouse_it_says_how_to_get_one(tmp_path: Path) -> None:
    ran = run_export("parquet", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data"))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "postcall up" in ran.stderr
