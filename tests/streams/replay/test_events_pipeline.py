"""`postcall replay events` beside a running pipeline: it goes over to the new generation, and acts on nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from postcall.embedded_log import started_log
from postcall.generations import read_generation
from postcall.instance import hold_directory
from postcall.log import open_record
from postcall.log_connection import LogConnection
from postcall.outcomes import InsightExtracted
from postcall.pipeline import Pipeline, run_pipeline
from postcall.private_api import PrivateApi, QueryFailed
from postcall.settings import Configuration, Settings
from postcall.simulator.signing import SIGNATURE_HEADER, sign
from postcall.supervisor import postcall_command
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import (
    ANALYSIS_REQUESTS,
    DEAD_LETTERS,
    EVENTS,
    INSIGHTS,
    RECORDING_REQUESTS,
    RECORDINGS,
    Topic,
    events_topic,
)
from tests.streams.log_contents import count_records, read_all, read_ids
from tests.streams.replay.older_rules import GARBAGE, delivered, derive_older, ended, monologue, updated
from tests.waiting import eventually

_SECRET = "whsec_generations"
_TABLES = ("sessions", "transcripts", "insights", "recordings", "dead_letters", "webhooks")
_DOWNLOADS = (RECORDING_REQUESTS, RECORDINGS)


@pytest.mark.embedded_log
@pytest.mark.timeout(300)
async def test_the_pipeline_goes_over_to_the_new_generation_and_acts_on_nothing_twice(tmp_path: Path) -> None:
    configuration = _configuration(tmp_path / "data")
    async with _log(configuration) as log:
        await create_topics(log, TopicSettings())
        deliveries = [*map(delivered, (ended(1), updated(1), monologue(2))), GARBAGE]
        await derive_older(str(log), deliveries, events=2, directory=tmp_path / "older")
    async with run_pipeline(configuration) as pipeline:
        await _until(pipeline, "SELECT count(*) AS n FROM insights", [{"n": 2}])
        assert await _roles(pipeline, "s-1") == ["user", "user"]
        assert await _count_all(pipeline.log, _DOWNLOADS) == [0, 0]

        told = await _replay(tmp_path / "data", "events")

        changed = {table["table"]: (table["changed"], table["examples"]) for table in told["tables"]}
        assert (changed["transcripts"], changed["sessions"][1]) == ((1, ["s-1"]), ["s-1"])
        assert (told["state"], told["deliveries"], told["events"], told["dead_letters"]) == (
            "promoted", 4, 3, {"unreadable": 1},
        )  # fmt: skip
        assert told["missing_insights"] == [{"analyzer": "summary@1", "sessions": 1}]
        await _until(pipeline, "SELECT count(*) AS n FROM transcripts WHERE role = 'assistant'", [{"n": 1}])
        assert (tmp_path / "data" / "warehouse.current").read_text().strip() == told["file"]
        await _deliver(pipeline, monologue(3))
        await _until(pipeline, "SELECT count(*) AS n FROM insights", [{"n": 3}])
        await _deliver(pipeline, ended(4))
        await _until(pipeline, "SELECT count(*) AS n FROM insights", [{"n": 4}])
        assert await _roles(pipeline, "s-4") == ["assistant", "user"]
        assert await _count_all(pipeline.log, _DOWNLOADS) == [0, 0], "what is read only now is not acted on"
        assert (await _paid(pipeline.log)) == Counter({"s-1": 1, "s-2": 1, "s-3": 1, "s-4": 1})
        assert len(set(await read_ids(str(pipeline.log), ANALYSIS_REQUESTS))) == 4
        assert len(set(await read_ids(str(pipeline.log), DEAD_LETTERS))) == 1
        assert (await _replay(tmp_path / "data", "insights"))["done"] == 1, "only the call that is read differently"
        await _until(pipeline, "SELECT count(*) AS n FROM insights", [{"n": 5}])
        derived = await count_records(str(pipeline.log), EVENTS)
        tables = await _tables(pipeline)
    for file in (tmp_path / "data").glob("warehouse*"):
        file.unlink()
    async with run_pipeline(configuration) as pipeline:
        await _deliver(pipeline, monologue(5))
        await _until(pipeline, "SELECT count(*) AS n FROM insights", [{"n": 6}])
        assert (await read_generation(pipeline.log)).number == 2
        again = await _tables(pipeline)
        assert {name: [row for row in rows if row.get("session_id") != "s-5"] for name, rows in again.items()} == tables
        assert await count_records(str(pipeline.log), EVENTS) == derived, "nobody writes to the first any more"
        assert len(await read_ids(str(pipeline.log), events_topic(2))) >= 6
        assert (await _paid(pipeline.log)).total() == 6


def _configuration(data_dir: Path) -> Configuration:
    flags = {"data_dir": data_dir, "host": "127.0.0.1", "port": 0, "private_port": 0, "broker_port": 0}
    environment = {"LAYERCODE_WEBHOOK_SECRET": _SECRET, "POSTCALL_LOG_LEVEL": "WARNING"}
    return Configuration(flags=flags, environment=environment)


@contextlib.asynccontextmanager
async def _log(configuration: Configuration) -> AsyncIterator[LogConnection]:
    with hold_directory(configuration.read(Settings).data_dir):
        async with started_log(configuration) as log:
            yield log


async def _replay(data_dir: Path, what: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *postcall_command("replay", what, "--yes", "--json", "--data-dir", str(data_dir)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"boiler" not in out + err, "nothing that was said is shown"
    told: dict[str, Any] = json.loads(out)
    return told


async def _deliver(pipeline: Pipeline, body: Mapping[str, Any]) -> None:
    raw = json.dumps(body).encode()
    headers = {SIGNATURE_HEADER: sign(raw, secret=_SECRET, at_s=int(time.time()))}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{pipeline.instance.ingest}/webhooks/layercode/a", content=raw, headers=headers)
    assert answer.status_code == 200, answer.text


async def _until(pipeline: Pipeline, sql: str, rows: list[dict[str, Any]]) -> None:
    async with PrivateApi(pipeline.instance.private) as api:

        async def is_so() -> bool:
            try:
                return await api.rows(sql) == rows
            except QueryFailed:
                # Projections go over to another generation.
                return False

        await eventually(is_so, timeout_s=90)


async def _roles(pipeline: Pipeline, session_id: str) -> list[str]:
    async with PrivateApi(pipeline.instance.private) as api:
        rows = await api.rows(f"SELECT role FROM transcripts WHERE session_id = '{session_id}' ORDER BY seq")  # noqa: S608 - our own
    return [row["role"] for row in rows]


async def _tables(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    async with PrivateApi(pipeline.instance.private) as api:
        return {table: await api.rows(f"FROM {table} ORDER BY ALL") for table in _TABLES}


async def _count_all(log: LogConnection, topics: tuple[Topic, ...]) -> list[int]:
    return [await count_records(str(log), topic) for topic in topics]


async def _paid(log: LogConnection) -> Counter[str]:
    """How often each session was analyzed."""
    messages = [open_record(record).message for record in await read_all(str(log), INSIGHTS)]
    return Counter(message.session_id for message in messages if isinstance(message, InsightExtracted))
