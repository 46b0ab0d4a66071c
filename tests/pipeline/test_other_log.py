"""`postcall up` on a log that was made anew: all is started, deliveries are kept, and nothing is read on silently."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from postcall.known_log.acceptance import read_held
from postcall.private_api import PrivateApi, QueryFailed
from postcall.simulator.signing import SIGNATURE_HEADER, sign
from postcall.supervisor import postcall_command
from tests.pipeline.processes import descendants_of
from tests.pipeline.test_restart import read_addresses, running_up
from tests.waiting import eventually

READERS = ["insights-0", "normalize-0", "plan-0", "projections", "recordings-0"]


async def deliver(url: str, number: int) -> None:
    body = {"type": "session.end", "session_id": f"s-{number}", "agent_id": "a"}
    raw = json.dumps(body).encode()
    headers = {SIGNATURE_HEADER: sign(raw, secret="whsec_restart", at_s=int(time.time()))}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{url}/webhooks/layercode/a", content=raw, headers=headers)
    assert answer.status_code == 200, answer.text


async def run_command(*arguments: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, postcall_command(*arguments), check=True, capture_output=True, text=True
    )
    return done.stdout


async def until_webhooks(addresses: dict[str, Any], count: int) -> None:
    async with PrivateApi(addresses["private"]) as api:

        async def are_there() -> bool:
            try:
                return bool(await api.rows("SELECT count(*) AS n FROM webhooks") == [{"n": count}])
            except QueryFailed:
                return False

        await eventually(are_there, timeout_s=60)


@pytest.mark.embedded_log
@pytest.mark.timeout(240)
async def test_up_keeps_deliveries_and_holds_its_readers_until_another_log_is_accepted(tmp_path: Path) -> None:
    async with running_up(tmp_path, kafka=None) as process:
        addresses = read_addresses(tmp_path)
        for number in range(5):
            await deliver(addresses["ingest"], number)
        await until_webhooks(addresses, 5)
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)
    shutil.rmtree(tmp_path / "log")
    async with running_up(tmp_path, kafka=None) as process:
        addresses = read_addresses(tmp_path)
        await eventually(lambda: [held.reader for held in read_held(tmp_path)] == READERS, timeout_s=30)
        standing = descendants_of(process.pid)
        for number in range(100, 103):
            await deliver(addresses["ingest"], number)
        async with httpx.AsyncClient(trust_env=False) as client:
            ready = await client.get(f"{addresses['private']}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "held")
        assert f"postcall log accept --data-dir {tmp_path}" in ready.json()["reason"]
        await until_webhooks(addresses, 5)
        assert descendants_of(process.pid).keys() == standing.keys(), "none is started again and again"
        told = await run_command("status", "--data-dir", str(tmp_path))
        assert all(reader in told for reader in READERS)
        assert "kept aside" in await run_command("log", "accept", "--yes", "--data-dir", str(tmp_path))
        await until_webhooks(addresses, 3)
        await eventually(lambda: not read_held(tmp_path))
        assert descendants_of(process.pid).keys() == standing.keys()
