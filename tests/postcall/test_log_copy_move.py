"""Moving a pipeline from the embedded log to Apache Kafka, by the commands of `docs/move-to-kafka.md` in order."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postcall.http_server import serve_http
from postcall.service import open_listener
from postcall.simulator.posting import post_deliveries
from postcall.simulator.rest import SessionStore, build_rest
from postcall.simulator.schedule import Delivery, plan_schedule
from postcall.simulator.sessions import Session
from postcall.simulator.vendor import api_url_of
from postcall.supervisor import postcall_command
from tests.postcall.log_contents import read_log
from tests.streams.loopback import LoopbackServer, response, serving
from tests.waiting import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "move-to-kafka.md").read_text("utf-8")
#: What the page has its reader type, in order.
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
TABLES = ("sessions", "transcripts", "recordings", "insights", "dead_letters", "webhooks")
COUNTS = """
    SELECT (SELECT count(*) FROM webhooks) AS webhooks,
           (SELECT count(*) FROM calls WHERE summary IS NOT NULL) AS summaries,
           (SELECT count(*) FROM recordings WHERE state = 'stored') AS stored,
           (SELECT count(*) FROM recordings WHERE state = 'unavailable') AS unavailable,
           (SELECT count(*) FROM dead_letters) AS dead_letters
"""
SECRET = "whsec_move"
INSIGHT: dict[str, Any] = {
    "summary": "A tap is to be fitted.",
    "intent": "booking",
    "follow_ups": [],
    "customer_name": None,
    "sentiment": "neutral",
}


class Shell:
    """A user's shell in a working directory: `postcall up` runs beside it, until it is stopped."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self._environment = os.environ | environment

    def export(self, name: str, value: str) -> None:
        self._environment[name] = value

    async def run(self, *words: str) -> str:
        """What a command prints on stdout, once it has succeeded."""
        process = await self._start(*words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
        assert process.returncode == 0, f"{words}: {err.decode()}"
        return out.decode()

    @asynccontextmanager
    async def running_up(self) -> AsyncIterator[str]:
        """`postcall up`, stopped in order with the block; yields where it takes webhooks."""
        options = ("--host", "127.0.0.1", "--port", "0", "--private-port", "0", "--broker-port", "0")
        process = await self._start("up", *options, stdout=None, stderr=None)
        addresses = self.directory / ".postcall" / "data" / "postcall.json"
        try:

            def is_up() -> bool:
                assert process.returncode is None
                return addresses.exists()

            await eventually(is_up, timeout_s=60)
            yield f"{json.loads(addresses.read_text())['ingest']}/webhooks/layercode/{{agent_id}}"
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 30) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(await self.run("sql", "--format", "json", sql))
        return rows

    async def table_hashes(self) -> dict[str, str]:
        tables = {table: await self.run("sql", "--format", "json", f"FROM {table} ORDER BY ALL") for table in TABLES}
        return {table: hashlib.sha256(rows.encode()).hexdigest() for table, rows in tables.items()}

    async def has_settled(self, sessions: Sequence[Session], deliveries: Sequence[Delivery]) -> bool:
        """Whether all stages have read everything, and the tables hold what follows from it."""
        status = json.loads(await self.run("status", "--json"))
        return all(stage["lag"] == 0 for stage in status["stages"]) and await self.rows(COUNTS) == [
            {
                "webhooks": len(deliveries),
                "summaries": len(sessions),
                "stored": sum(session.recording == "completed" for session in sessions),
                "unavailable": sum(session.recording == "failed" for session in sessions),
                "dead_letters": len({delivery.body for delivery in deliveries if delivery.is_broken}),
            }
        ]

    async def _start(self, *words: str, **streams: Any) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *postcall_command(*words), cwd=self.directory, env=self._environment, **streams
        )


@asynccontextmanager
async def serving_model() -> AsyncIterator[LoopbackServer]:
    """A model that says the same of every call."""
    message = {"role": "assistant", "content": json.dumps(INSIGHT), "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    async with serving() as model:
        answer = response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        model.answer("/v1/chat/completions", answer)
        yield model


@pytest.mark.timeout(300)
@pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
async def test_the_pipeline_goes_on_on_kafka_where_it_was(tmp_path: Path, log_address: str) -> None:
    copy_first, copy_rest, export, up, accept, status, replay = (
        shlex.split(command.replace("kafka.example:9092", log_address)) for command in COMMANDS
    )
    assert up == ["postcall", "up"]
    listener = open_listener("127.0.0.1", 0)
    schedule = plan_schedule(8, seed=5, api_url=api_url_of(listener))
    late = next(session for session in schedule.sessions if session.recording == "completed")
    sessions = [session for session in schedule.sessions if session is not late]
    deliveries = [delivery for delivery in schedule.deliveries if delivery.session_id != late.session_id]
    half = len(deliveries) // 2
    store = SessionStore(schedule)
    vendor, asked = build_rest(store, api_key="key"), []

    async def counting_vendor(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await vendor(scope, receive, send)

    async def post(ingest_url: str, some: Sequence[Delivery]) -> None:
        await post_deliveries(some, ingest_url=ingest_url, secret=SECRET, before_send=store.advance)

    async with serving_model() as model, serve_http(counting_vendor, listener, drain_s=2):
        shell = Shell(
            tmp_path,
            LAYERCODE_WEBHOOK_SECRET=SECRET,
            LAYERCODE_API_KEY="key",
            LAYERCODE_API_URL=api_url_of(listener),
            OPENAI_API_KEY="sk-a-key",
            OPENAI_BASE_URL=f"{model.origin}/v1",
            POSTCALL_LOG_LEVEL="WARNING",
        )
        async with shell.running_up() as ingest_url:
            await post(ingest_url, deliveries[:half])
            assert "Stop the pipeline" in await shell.run(*copy_first[1:])
            await post(ingest_url, deliveries[half:])
            await eventually(lambda: shell.has_settled(sessions, deliveries), timeout_s=60)
            tables = await shell.table_hashes()
        assert "Stop the pipeline" not in await shell.run(*copy_rest[1:])
        copied = await read_log(log_address)
        requests = len(asked), len(model.requests)
        assert all(requests)

        shell.export(*export[1].split("=", 1))
        async with shell.running_up() as ingest_url:
            await shell.run(*accept[1:], "--yes")
            await eventually(lambda: shell.has_settled(sessions, deliveries), timeout_s=60)
            assert "insights" in await shell.run(*status[1:])
            assert await shell.table_hashes() == tables
            assert await read_log(log_address) == copied
            await shell.run(*replay[1:])
            assert await shell.table_hashes() == tables
            assert (len(asked), len(model.requests)) == requests

            await post(ingest_url, [delivery for delivery in schedule.deliveries if delivery not in deliveries])
            await eventually(lambda: shell.has_settled(schedule.sessions, schedule.deliveries), timeout_s=60)
            assert len(model.requests) == requests[1] + 1
