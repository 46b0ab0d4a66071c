"""The demo, on real processes: its numbers are the vendor's, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.pipeline.demo import expected_summary, finish_demo, running_demo
from tests.pipeline.processes import descendants_of, kill_service
from tests.waiting import eventually

pytestmark = pytest.mark.embedded_log


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_demo_reports_what_the_vendor_knows(seed: int, tmp_path: Path) -> None:
    async with running_demo(tmp_path / "demo", calls=25, seed=seed) as process:
        assert await finish_demo(process) == expected_summary(calls=25, seed=seed)


async def test_a_second_run_on_the_same_directory_starts_afresh(tmp_path: Path) -> None:
    summaries = []
    for _ in range(2):
        async with running_demo(tmp_path, calls=5, seed=3) as process:
            summaries.append(await finish_demo(process))
    assert summaries[0] == summaries[1]


@pytest.mark.parametrize("service", ["streams", "ingest", "projections", "broker"])
async def test_a_service_killed_in_the_middle_changes_no_number(service: str, tmp_path: Path) -> None:
    async with running_demo(tmp_path, calls=120, seed=4) as process:
        await eventually(lambda: any((tmp_path / "recordings").rglob("*.wav")), timeout_s=60)
        kill_service(process.pid, service)
        summary, expected = await finish_demo(process), expected_summary(calls=120, seed=4)
    if service in {"ingest", "broker"}:
        # What was durable but not acknowledged is sent again: one more raw delivery, and nothing else.
        assert summary.pop("webhooks") >= expected.pop("webhooks")
    assert summary == expected


async def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    async with running_demo(tmp_path, calls=400, seed=5) as process:
        await eventually(lambda: any("postcall ingest" in line for line in descendants_of(process.pid).values()))
        children = descendants_of(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert b"Traceback" not in err
        assert out == b""
        assert not set(children) & set(descendants_of(1))
        assert not (tmp_path / "postcall.json").exists()
