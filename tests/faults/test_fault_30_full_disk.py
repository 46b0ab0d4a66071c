"""Fault 30: the disk is full while the warehouse commits: it is opened again and goes on from what is durable."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from projections.files import serving_path
from tests.faults.warehouses import has_rows, hold_tables
from tests.projections.conftest import fill_log
from tests.projections.own_files import write_files
from tests.projections.service import StartService
from tests.waiting import eventually

pytestmark = [
    pytest.mark.embedded_log,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit another process's files"),
]


@pytest.mark.parametrize("room_bytes", [0, 20_000, 150_000])
async def test_fault_30_a_commit_that_raises_is_looked_up_and_never_repeated_from_memory(
    log_address: str, tmp_path: Path, start_service: StartService, room_bytes: int
) -> None:
    data_dir = tmp_path / "data"
    write_files(data_dir / "sql")
    await fill_log(log_address, range(20))
    service = start_service(log_address, data_dir, POSTCALL_ANALYTICS_COPY_INTERVAL_S="0")
    await eventually(has_rows(service, "told", 20), timeout_s=60)
    await eventually(service.is_ready, timeout_s=60)
    path = serving_path(data_dir)
    wal = path.with_name(path.name + ".wal")
    before, size = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE), wal.stat().st_size
    # No file grows beyond this now, as on a disk that is full: a transaction gets into the WAL in part, or not at all.
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size + room_bytes, before[1]))
    await fill_log(log_address, range(20, 120))
    log = tmp_path / "service.log"
    await eventually(lambda: "action=warehouse_failed" in log.read_text(), timeout_s=60)
    assert service.process.poll() is None
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, before)
    for table in ("sessions", "told", "turns_taken"):
        await eventually(has_rows(service, table, 120), timeout_s=60)
    service.kill()
    hold_tables(range(120), data_dir, more=("refunds", "told", "told_often"))
    assert not list(data_dir.glob("*.corrupt-*")), "a full disk is no damage"
