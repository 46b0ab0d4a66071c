"""A copy and what befalls its process and its disk: the copy until then stays, and the next one is whole again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from postcall.crash_points import FAIL_AT
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records

_ROOT = Path(__file__).parents[2]
#: A process whose files may not grow beyond a size, as on a full disk: every write past it fails.
_COPY_ON_A_FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from projections.copying.copier import Copier
from projections.copying.errors import CopyFailed
from projections.warehouse import Warehouse

async def main(data_dir):
    warehouse = Warehouse(data_dir / "warehouse-1.duckdb")
    copier = Copier(lambda: warehouse, data_dir, interval_s=0, reporting_timezone="UTC", spare_bytes=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        await copier.copy_now()
    except CopyFailed as error:
        print("refused:", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with warehouse.snapshot() as reader:
        print("warehouse:", reader.execute("SELECT count(*) FROM sessions").fetchall())
    print("copied:", (await copier.copy_now()).bytes > 300_000)
    warehouse.close()

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main(Path(sys.argv[1])))
"""


def test_fault_07_a_full_disk_befalls_the_copy_alone(tmp_path: Path) -> None:
    fill(tmp_path, range(8))
    ran = subprocess.run(
        [sys.executable, "-c", _COPY_ON_A_FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        check=False,
        timeout=100,
    )
    refused, kept, copied = ran.stdout.splitlines()
    assert refused.startswith("refused: The copy could not be written")
    assert kept == "warehouse: [(8,)]"
    assert copied == "copied: True"
    assert count_sessions(tmp_path) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["analytics.duckdb", "warehouse-1.duckdb"]


_COPY = """
import asyncio, sys
from pathlib import Path
from projections.copying.copier import Copier
from projections.warehouse import Warehouse

async def main(data_dir):
    warehouse = Warehouse(data_dir / "warehouse-1.duckdb")
    copier = Copier(lambda: warehouse, data_dir, interval_s=0, reporting_timezone="UTC", spare_bytes=0)
    async with copier.running():
        await copier.copy_now()
    warehouse.close()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize(("point", "sessions"), [("before_copy_is_placed", 4), ("after_copy_is_placed", 8)])
def test_a_service_killed_at_its_copy_leaves_a_whole_one_and_the_next_clears_up(
    tmp_path: Path, point: str, sessions: int
) -> None:
    fill(tmp_path, range(4))
    assert copy_in_a_process(tmp_path) == 0
    fill(tmp_path, range(8))
    assert copy_in_a_process(tmp_path, fail_at=point) == -signal.SIGKILL
    assert count_sessions(tmp_path) == sessions
    assert copy_in_a_process(tmp_path) == 0
    assert count_sessions(tmp_path) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["analytics.duckdb", "warehouse-1.duckdb"]


def copy_in_a_process(data_dir: Path, *, fail_at: str | None = None) -> int:
    """Copy as a service does; how its process ended."""
    environment = os.environ | ({FAIL_AT: fail_at} if fail_at else {})
    ran = subprocess.run(
        [sys.executable, "-c", _COPY, str(data_dir)], cwd=_ROOT, env=environment, check=False, timeout=100
    )
    return ran.returncode


def count_sessions(data_dir: Path) -> int:
    """Sessions of the copy that is there."""
    with duckdb.connect(data_dir / "analytics.duckdb", read_only=True) as copy:
        return int(copy.execute("SELECT count(*) FROM sessions").fetchall()[0][0])


def fill(data_dir: Path, calls: range) -> None:
    """Let the warehouse have these calls."""
    warehouse = Warehouse(data_dir / "warehouse-1.duckdb")
    apply_records(warehouse, number_records(make_records(calls)))
    warehouse.close()
