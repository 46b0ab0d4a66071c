"""`postcall up` killed without warning, and started again at once on the same directory."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postcall.supervisor import postcall_command
from tests.waiting import eventually


@asynccontextmanager
async def running_up(data_dir: Path, *, kafka: str | None) -> AsyncIterator[asyncio.subprocess.Process]:
    """`postcall up` that is up; killed with the block."""
    log = ["--kafka", kafka] if kafka else ["--broker-port", "0"]
    options = ["--data-dir", str(data_dir), "--host", "127.0.0.1", "--port", "0", "--private-port", "0"]
    process = await asyncio.create_subprocess_exec(
        *postcall_command("up", *options, *log),
        cwd=data_dir,
        env=os.environ | {"LAYERCODE_WEBHOOK_SECRET": "whsec_restart", "POSTCALL_LOG_LEVEL": "WARNING"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:

        def is_up() -> bool:
            assert process.returncode is None
            return read_addresses(data_dir).get("pid") == process.pid

        await eventually(is_up, timeout_s=60)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def read_addresses(data_dir: Path) -> dict[str, Any]:
    try:
        addresses: dict[str, Any] = json.loads((data_dir / "postcall.json").read_text())
    except FileNotFoundError:
        return {}
    return addresses


@pytest.mark.both_logs
@pytest.mark.timeout(180)
async def test_up_starts_again_at_once_after_kill_9(tmp_path: Path, kafka_address: str | None) -> None:
    for _ in range(2):
        async with running_up(tmp_path, kafka=kafka_address) as process:
            process.kill()
            await process.wait()
    async with running_up(tmp_path, kafka=kafka_address) as process:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


@pytest.mark.embedded_log
async def test_a_second_up_says_who_has_the_directory(tmp_path: Path) -> None:
    async with running_up(tmp_path, kafka=None) as process:
        second = await asyncio.create_subprocess_exec(
            *postcall_command("up", "--data-dir", str(tmp_path)),
            env=os.environ | {"LAYERCODE_WEBHOOK_SECRET": "whsec_restart"},
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await asyncio.wait_for(second.communicate(), 20)
        assert second.returncode == 2
        (line,) = err.decode().splitlines()
        assert f"process {process.pid}" in line
