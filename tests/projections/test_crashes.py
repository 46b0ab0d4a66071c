"""`postcall replay projections` cut short: the tables serve as before, and the next attempt makes them again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from postcall.supervisor import postcall_command
from projections.files import serving_path
from tests.faults.fuses import Fuses
from tests.faults.warehouses import has_rows, hold_tables
from tests.projections.conftest import fill_log
from tests.projections.service import Service, StartService
from tests.waiting import eventually

pytestmark = [pytest.mark.embedded_log, pytest.mark.timeout(180)]
CALLS = range(60)


async def replay(service: Service, **wish: object) -> str:
    """Ask for a replay; returns what was told of it until it ended, or the service did."""
    told = ""
    try:
        async with (
            httpx.AsyncClient(base_url=service.address, timeout=60, trust_env=False) as client,
            client.stream("POST", "/v1/replays/projections", json=wish) as answer,
        ):
            async for line in answer.aiter_lines():
                told = line
    except httpx.TransportError:
        return ""
    return told


@pytest.mark.parametrize(
    ("point", "serves"), [("before_switch", "warehouse-1.duckdb"), ("after_switch", "warehouse-2.duckdb")]
)
async def test_a_death_in_the_middle_of_the_swap_leaves_one_whole_warehouse(
    log_address: str, tmp_path: Path, start_service: StartService, point: str, serves: str
) -> None:
    data_dir, fuses = tmp_path / "data", Fuses(tmp_path / "fuses")
    await fill_log(log_address, CALLS)
    service = start_service(log_address, data_dir, **fuses.environment)
    await eventually(has_rows(service, "insights", len(CALLS)), timeout_s=60)
    replaying = asyncio.create_task(replay(service))
    await fuses.burn(f"projections.{point}")
    await replaying
    assert await asyncio.to_thread(service.process.wait, 20) == -9
    assert serving_path(data_dir).name == serves
    service = start_service(log_address, data_dir)
    await eventually(has_rows(service, "insights", len(CALLS)), timeout_s=60)
    await eventually(service.is_ready, timeout_s=60)
    assert json.loads(await replay(service))["is_done"]
    service.kill()
    hold_tables(CALLS, data_dir)
    assert serving_path(data_dir).name != serves


async def test_a_replay_without_a_service_that_is_interrupted_can_be_run_again(
    log_address: str, tmp_path: Path, start_service: StartService
) -> None:
    data_dir, fuses = tmp_path / "data", Fuses(tmp_path / "fuses")
    await fill_log(log_address, CALLS)
    service = start_service(log_address, data_dir)
    await eventually(has_rows(service, "insights", len(CALLS)), timeout_s=60)
    service.kill()
    command = postcall_command("replay", "projections", "--kafka", log_address, "--data-dir", str(data_dir), "--json")
    environment = os.environ | {"POSTCALL_PROJECTIONS_DIR": str(data_dir / "sql"), "POSTCALL_ENV_FILE": ""}
    process = await asyncio.create_subprocess_exec(*command, env=environment | fuses.environment)
    await fuses.burn("projections.before_switch")
    assert await process.wait() == -signal.SIGKILL
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    await eventually((data_dir / "warehouse-2.duckdb.wal").exists, timeout_s=60)
    process.send_signal(signal.SIGINT)
    # Unless the machine let it come to its end meanwhile.
    assert await process.wait() in (130, 0)
    hold_tables(CALLS, data_dir)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert json.loads(told)["rows"]["sessions"] == len(CALLS)
    hold_tables(CALLS, data_dir)
