"""The health of `postcall streams`, as whatever starts containers asks for it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from postcall.service import open_listener
from postcall.supervisor import StateChange
from postcall.topics import STAGE_INPUTS
from streams.health import StagesHealth, build_application
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

ADDRESS = re.compile(r"action=listening address=(\S+)")


def all_ready() -> StagesHealth:
    health = StagesHealth(STAGE_INPUTS)
    for stage in STAGE_INPUTS:
        health.note(StateChange(name=stage, state="ready", pid=1))
    return health


def ask(health: StagesHealth, path: str) -> tuple[int, Any]:
    answer = TestClient(build_application(health)).get(path)
    return answer.status_code, answer.json()


def test_it_is_ready_when_every_stage_is() -> None:
    status, told = ask(all_ready(), "/readyz")
    assert (status, told["status"]) == (200, "ready")
    assert told["stages"].keys() == STAGE_INPUTS.keys()


def test_a_stage_that_was_not_heard_of_is_starting() -> None:
    status, told = ask(StagesHealth(STAGE_INPUTS), "/readyz")
    assert (status, told["status"]) == (503, "not_ready")
    assert told["stages"]["plan"] == {"state": "starting"}


@pytest.mark.parametrize("state", ["starting", "held", "silent", "exited", "stopped"])
def test_one_stage_that_is_anything_else_makes_it_unready_but_alive(state: Any) -> None:
    health = all_ready()
    health.note(StateChange(name="plan", state=state, pid=7))
    status, told = ask(health, "/readyz")
    assert (status, told["stages"]["plan"]["state"]) == (503, state)
    assert ask(health, "/healthz") == (200, {"status": "ok"})


def test_why_a_stage_is_held_is_told() -> None:
    health = all_ready()
    health.note(StateChange(name="plan", state="held", pid=7, reason="The log is another one."))
    assert ask(health, "/readyz")[1]["stages"]["plan"]["reason"] == "The log is another one."


def test_errors_have_the_shape_of_all_errors() -> None:
    assert ask(all_ready(), "/metrics") == (
        404, {"error": {"status": 404, "code": "not_found", "message": "Not Found"}},
    )  # fmt: skip


def all_stages(log: str, data_dir: Path) -> tuple[str, ...]:
    return ("postcall", "streams", "--kafka", log, "--data-dir", str(data_dir))


async def ask_over_http(process: StageProcess) -> dict[str, Any]:
    (address,) = ADDRESS.findall(process.logged)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{address}/readyz")
    told: dict[str, Any] = answer.json()
    assert answer.status_code == (200 if told["status"] == "ready" else 503)
    return told


async def test_a_killed_stage_is_unready_until_it_was_started_again(log: str, tmp_path: Path) -> None:
    serving = {"POSTCALL_STREAMS_PORT": "0"}
    with stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "log", environment=serving) as process:
        await process.until_logged("action=listening")

        async def are_all_ready() -> bool:
            return bool((await ask_over_http(process))["status"] == "ready")

        await eventually(are_all_ready, timeout_s=60)
        killed = (await ask_over_http(process))["stages"]["plan"]["pid"]
        os.kill(killed, signal.SIGKILL)
        await process.until_logged("action=child_exited")
        assert (await ask_over_http(process))["status"] == "not_ready"
        await eventually(are_all_ready, timeout_s=60)
        assert (await ask_over_http(process))["stages"]["plan"]["pid"] != killed
        assert process.stop() == 0


async def test_a_port_that_is_taken_is_wrong_usage(log: str, tmp_path: Path) -> None:
    with open_listener("127.0.0.1", 0) as taken:
        port = {"POSTCALL_STREAMS_PORT": str(taken.getsockname()[1])}
        with stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "log", environment=port) as process:
            await eventually(lambda: process.has_ended)
            assert process.stop() == 2
    assert "Cannot listen on" in process.logged
