"""The Python of docs/connect.md, docs/export.md and the notebook runs against a real copy and a real export."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from postcall.settings import Settings
from projections.exporting.databases import export_database
from projections.exporting.parquet import export_tables, hold_export
from projections.exporting.snapshots import open_snapshot
from projections.files import make_serving
from projections.settings import CopySettings
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records

ROOT = Path(__file__).parents[2]
CONNECT = (ROOT / "docs" / "connect.md").read_text("utf-8")
EXPORT = (ROOT / "docs" / "export.md").read_text("utf-8")
NOTEBOOK = json.loads((ROOT / "examples" / "notebook.ipynb").read_text("utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a pipeline has run, and a demo, and in which an export was made."""
    folder = tmp_path_factory.mktemp("documents")
    data_dir = folder / "warehouse"
    data_dir.mkdir()
    warehouse = Warehouse(data_dir / "warehouse-1.duckdb")
    apply_records(warehouse, number_records(make_records(range(20))))
    warehouse.close()
    make_serving(data_dir / "warehouse-1.duckdb")
    settings = Settings(data_dir=data_dir)
    for name in ("data", "demo"):
        (folder / ".postcall" / name).mkdir(parents=True)
        export_database(folder / ".postcall" / name / "analytics.duckdb", settings)
    with hold_export(folder / "lake"), open_snapshot(settings) as snapshot:
        list(export_tables(snapshot, folder / "lake", only=("calls",)))
    return folder


def run(source: str, names: dict[str, Any]) -> None:
    """Run a block as whoever reads the page would."""
    exec(compile(source, "<document>", "exec"), names)  # noqa: S102 - our own documents


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```", CONNECT + EXPORT, re.MULTILINE | re.DOTALL))
def test_a_block_of_the_documents_runs_and_prints_rows(
    block: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    run(block, {})
    assert re.search(r"\d", capsys.readouterr().out)


def test_the_notebook_runs_from_its_folder_and_shows_a_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "examples").mkdir()
    monkeypatch.chdir(folder / "examples")
    names: dict[str, Any] = {}
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            run("".join(cell["source"]), names)
    names["calls"].close()
    assert "boiler" in capsys.readouterr().out


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_the_interval_is_documented() -> None:
    assert "POSTCALL_ANALYTICS_COPY_INTERVAL_S" in CONNECT
    assert f"at most every {CopySettings().analytics_copy_interval_s:g} s" in CONNECT
