"""Fault 3: the projections service is killed around its commits: every record counts once, whoever adds it up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from tests.faults.fuses import Fuses
from tests.faults.warehouses import has_rows, hold_tables
from tests.projections.conftest import fill_log
from tests.projections.own_files import APPENDED, write_files
from tests.projections.service import StartService
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

CALLS = 900
COUNTED = ("webhooks", "transcripts", "sessions", "insights")
#: But for what says where in the log a record is.
OWN = ("refunds", "told", "told_often")


@pytest.mark.both_logs
async def test_fault_03_a_kill_in_the_middle_of_a_load_loses_and_doubles_nothing(
    log_address: str, tmp_path: Path, start_service: StartService
) -> None:
    data_dir = tmp_path / "data"
    write_files(data_dir / "sql")
    filling = asyncio.create_task(fill_log(log_address, range(CALLS)))
    seed = random.randrange(1_000_000)  # noqa: S311 - moments, not secrets
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    moments = random.Random(seed)  # noqa: S311 - as above
    for _ in range(3):
        service = start_service(log_address, data_dir)
        await eventually(has_rows(service, "webhooks", moments.randrange(1, CALLS)), timeout_s=60)
        service.kill()
    await filling
    service = start_service(log_address, data_dir)
    for table in (*COUNTED, "told", "turns_taken"):
        expected = CALLS * 6 if table == "transcripts" else CALLS
        await eventually(has_rows(service, table, expected), timeout_s=60)
    service.kill()
    hold_tables(range(CALLS), data_dir, more=OWN)
    async with open_admin(LogConnection(log_address)) as admin:
        assert await admin.list_consumer_groups() == [], "nothing but the checkpoints says where to go on"


@pytest.mark.embedded_log
async def test_fault_03_a_death_before_or_after_any_commit_leaves_rows_and_checkpoints_together(
    log_address: str, tmp_path: Path, start_service: StartService
) -> None:
    calls, data_dir, fuses = 40, tmp_path / "data", Fuses(tmp_path / "fuses")
    (data_dir / "sql").mkdir(parents=True)
    # Of other statements first, so that there is a build to be made beside it, and a swap.
    (data_dir / "sql" / "told.sql").write_text(APPENDED.replace("turns_taken", "told"), "utf-8")
    await fill_log(log_address, range(calls // 2))
    for number, point in enumerate(("before_commit", "after_commit") * 2):
        service = start_service(log_address, data_dir, **fuses.environment)
        await eventually(service.is_ready, timeout_s=60)
        burning = asyncio.create_task(fuses.burn(f"projections.{point}"))
        await asyncio.sleep(0)
        if number == 1:
            await fill_log(log_address, range(calls // 2, calls))
        if number == 2:
            write_files(data_dir / "sql")
        # Something is always to be committed: also what was read, as proven.
        await burning
        assert await asyncio.to_thread(service.process.wait, 20) == -9
    service = start_service(log_address, data_dir)
    for table in ("sessions", "refunds", "turns_taken", "told"):
        await eventually(has_rows(service, table, calls), timeout_s=60)
    service.kill()
    hold_tables(range(calls), data_dir, more=OWN)
