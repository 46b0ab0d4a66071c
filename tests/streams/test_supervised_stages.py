"""`postcall streams`: one process per stage, kept running."""

from __future__ import annotations

import os
import re
import signal
from functools import partial
from pathlib import Path

import pytest

from postcall.instance import is_alive
from postcall.topics import EVENTS, STAGE_INPUTS
from tests.streams.deliveries import deliver_message
from tests.streams.log_contents import append_all, count_records
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

READY = re.compile(r"action=child_ready child=(\w+) child_pid=(\d+)")


def all_stages(log: str, data_dir: Path) -> tuple[str, ...]:
    return ("postcall", "streams", "--kafka", log, "--data-dir", str(data_dir))


def read_pids(process: StageProcess) -> dict[str, int]:
    return {name: int(pid) for name, pid in READY.findall(process.logged)}


async def until_all_ready(process: StageProcess) -> dict[str, int]:
    await eventually(lambda: read_pids(process).keys() == STAGE_INPUTS.keys(), timeout_s=60)
    return read_pids(process)


async def has_events(log: str, count: int) -> bool:
    return await count_records(log, EVENTS) >= count


def are_gone(pids: dict[str, int]) -> bool:
    return not any(is_alive(pid) for pid in pids.values())


@pytest.mark.both_logs
async def test_a_killed_stage_is_started_again_and_all_stop_together(log: str, tmp_path: Path) -> None:
    with stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "log") as process:
        before = await until_all_ready(process)
        os.kill(before["normalize"], signal.SIGKILL)
        await append_all(log, [deliver_message(number) for number in range(10)])
        await eventually(partial(has_events, log, 10), timeout_s=40)
        after = read_pids(process)
        assert after["normalize"] != before["normalize"]
        assert {name for name in before if after[name] != before[name]} == {"normalize"}
        assert process.stop(limit_s=10) == 0
        assert are_gone(after)


async def test_the_stages_end_with_their_parent(log: str, tmp_path: Path) -> None:
    with stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "log") as process:
        pids = await until_all_ready(process)
        process.kill()
        await eventually(partial(are_gone, pids), timeout_s=20)


async def test_a_stage_that_cannot_start_stops_the_start_and_says_why(log: str, tmp_path: Path) -> None:
    (tmp_path / "streams" / "0" / "recordings.sqlite3").mkdir(parents=True)
    with stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "log") as process:
        await eventually(lambda: process.has_ended, timeout_s=40)
        assert process.stop() == 1
    assert "recordings.sqlite3 cannot be used: unable to open database file." in process.logged
    assert "Traceback" not in process.logged


async def test_an_unknown_stage_is_a_usage_error(tmp_path: Path) -> None:
    arguments = ("postcall", "streams", "--stage", "laundry", "--data-dir", str(tmp_path))
    with stage_process(*arguments, log_file=tmp_path / "log") as process:
        await eventually(lambda: process.has_ended)
        assert process.stop() == 2
    assert "normalize, plan, recordings, insights" in process.logged
