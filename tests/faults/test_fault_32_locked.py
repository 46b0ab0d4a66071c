"""Fault 32: another process has the warehouse open: it is named, and waited for; deliveries go on being taken."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from projections.files import serving_path
from tests.faults.warehouses import has_rows, hold_tables
from tests.projections.conftest import fill_log
from tests.projections.service import StartService
from tests.waiting import eventually

pytestmark = [pytest.mark.embedded_log, pytest.mark.timeout(120)]

_OPEN = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


@contextlib.contextmanager
def opened_elsewhere(path: Path) -> Iterator[int]:
    """Another process has the file open while the block runs; yields its id."""
    command = [sys.executable, "-c", _OPEN, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield process.pid
        process.communicate()


async def test_fault_32_a_warehouse_that_is_open_elsewhere_is_waited_for(
    log_address: str, tmp_path: Path, start_service: StartService
) -> None:
    data_dir = tmp_path / "data"
    await fill_log(log_address, range(10))
    service = start_service(log_address, data_dir)
    await eventually(has_rows(service, "insights", 10), timeout_s=60)
    service.kill()
    with opened_elsewhere(serving_path(data_dir)) as holder:
        service = start_service(log_address, data_dir)

        async def is_told() -> bool:
            facts = await service.readiness()
            return facts.get("status") == "held" and f"PID {holder}" in facts["reason"]

        await eventually(is_told, timeout_s=60)
        # The log takes what comes meanwhile, and the service goes on waiting.
        await fill_log(log_address, range(10, 20))
        assert await is_told()
        assert service.process.poll() is None
    await eventually(has_rows(service, "insights", 20), timeout_s=60)
    await eventually(service.is_ready)
    service.kill()
    hold_tables(range(20), data_dir)
    said = (tmp_path / "service.log").read_text()
    assert said.count("action=warehouse_missed") == 1, "it is told once"
