"""A copy and the disk: what cannot be written leaves the copy until now, and the next one is whole again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb

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
    warehouse = Warehouse(tmp_path / "warehouse-1.duckdb")
    apply_records(warehouse, number_records(make_records(range(8))))
    warehouse.close()
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
    with duckdb.connect(tmp_path / "analytics.duckdb", read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM sessions").fetchall() == [(8,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["analytics.duckdb", "warehouse-1.duckdb"]
