"""`postcall replay projections`: the tables come back identical, with and without a running pipeline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from postcall.pipeline import run_pipeline
from postcall.service import open_listener
from postcall.settings import Configuration
from postcall.simulator.schedule import plan_schedule
from postcall.simulator.vendor import Vendor, api_url_of
from postcall.supervisor import postcall_command
from projections.files import serving_path
from tests.waiting import eventually

TABLES = ("sessions", "transcripts", "recordings", "insights", "dead_letters", "webhooks")
SECRET = "whsec_replay"
_COUNTS = """
SELECT
    (SELECT count(*) FROM calls WHERE summary IS NOT NULL) AS summaries,
    (SELECT count(*) FROM recordings WHERE state = 'stored') AS stored,
    (SELECT count(*) FROM recordings WHERE state = 'unavailable') AS unavailable,
    (SELECT count(*) FROM dead_letters) AS dead_letters,
    (SELECT count(*) FROM webhooks) AS webhooks
"""


async def postcall(*arguments: str) -> str:
    """Run a command that must succeed; returns its stdout."""
    process = await asyncio.create_subprocess_exec(
        *postcall_command(*arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def replay(data_dir: Path, *options: str) -> str:
    return await postcall("replay", "projections", "--data-dir", str(data_dir), "--json", *options)


async def rows_of(data_dir: Path, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(await postcall("sql", "--data-dir", str(data_dir), "--format", "json", sql))
    return rows


async def all_tables(data_dir: Path) -> dict[str, list[str]]:
    """Every row of every table, as JSON, in one order."""
    selects = [f"SELECT '{table}' AS name, to_json(t)::VARCHAR AS row FROM {table} AS t" for table in TABLES]  # noqa: S608 - our own tables
    tables: dict[str, list[str]] = {table: [] for table in TABLES}
    for found in await rows_of(data_dir, " UNION ALL ".join(selects) + " ORDER BY ALL"):
        tables[found["name"]].append(found["row"])
    return tables


def delete_warehouses(data_dir: Path) -> None:
    for path in data_dir.glob("warehouse*"):
        path.unlink()


@asynccontextmanager
async def a_pipeline_with_calls(data_dir: Path, *, kafka: str | None) -> AsyncIterator[int]:
    """A running pipeline that has projected some calls; yields how many webhooks it was sent."""
    listener = open_listener("127.0.0.1", 0)
    schedule = plan_schedule(6, seed=8, api_url=api_url_of(listener))
    configuration = Configuration(
        flags={
            "data_dir": data_dir,
            "host": "127.0.0.1",
            "port": 0,
            "private_port": 0,
            "broker_port": 0,
            "kafka": kafka,
        },
        environment={
            "LAYERCODE_WEBHOOK_SECRET": SECRET,
            "LAYERCODE_API_KEY": "key",
            "LAYERCODE_API_URL": api_url_of(listener),
            "POSTCALL_LOG_LEVEL": "WARNING",
        },
    )
    async with Vendor(schedule, api_key="key", listener=listener) as vendor, run_pipeline(configuration) as pipeline:
        await vendor.post(f"{pipeline.instance.ingest}/webhooks/layercode/{{agent_id}}", secret=SECRET)

        async def has_all() -> bool:
            # All of it: whatever came later would be in one look at the tables and not in the other.
            (found,) = await rows_of(data_dir, _COUNTS)
            return found == {
                "summaries": schedule.expected.calls,
                "stored": schedule.expected.recordings_stored,
                "unavailable": schedule.expected.recordings_unavailable,
                "dead_letters": schedule.expected.broken_bodies,
                "webhooks": schedule.expected.webhooks,
            }

        await eventually(has_all, timeout_s=60)
        yield schedule.expected.webhooks


@pytest.mark.both_logs
@pytest.mark.timeout(180)
async def test_tables_come_back_identical(
    tmp_path: Path, kafka_address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kafka_address:
        monkeypatch.setenv("POSTCALL_KAFKA", kafka_address)
    async with a_pipeline_with_calls(tmp_path, kafka=kafka_address) as webhooks:
        before = await all_tables(tmp_path)
        told = json.loads(await replay(tmp_path))
        assert told["rows"]["webhooks"] == webhooks
        assert told["records"] > webhooks

        async def is_switched() -> bool:
            return (tmp_path / "warehouse.current").read_text().strip() == "warehouse-2.duckdb"

        await eventually(is_switched)
        assert (set(told["compared"]), told["changed"]) == (set(TABLES), {})
        assert await all_tables(tmp_path) == before
        told = json.loads(await replay(tmp_path, "--only", "transcripts"))
        assert (told["rows"], told["changed"]) == ({"transcripts": len(before["transcripts"])}, {})
        assert told["records"] > 0
        assert await all_tables(tmp_path) == before
    await replay(tmp_path, "--only", "sessions")
    assert await all_tables(tmp_path) == before
    delete_warehouses(tmp_path)
    told = json.loads(await replay(tmp_path))
    assert told["rows"] == {table: len(rows) for table, rows in before.items()}
    assert await all_tables(tmp_path) == before
    await hold_that_fewer_rows_must_be_accepted(tmp_path, before)


async def hold_that_fewer_rows_must_be_accepted(data_dir: Path, before: dict[str, list[str]]) -> None:
    """Rows that the log does not make, as if its records were gone, are not lost unasked."""
    with duckdb.connect(serving_path(data_dir)) as warehouse:
        warehouse.execute("INSERT INTO transcripts_1.transcript_turns SELECT * FROM transcripts_1.transcript_turns")
    process = await asyncio.create_subprocess_exec(
        *postcall_command("replay", "projections", "--data-dir", str(data_dir)), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert f"transcripts {2 * len(before['transcripts'])} before and {len(before['transcripts'])} now" in " ".join(
        err.decode().split()
    )
    assert len((await all_tables(data_dir))["transcripts"]) == 2 * len(before["transcripts"])
    await replay(data_dir, "--accept-fewer")
    assert await all_tables(data_dir) == before


async def test_without_a_log_there_is_nothing_to_replay(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *postcall_command("replay", "projections", "--data-dir", str(tmp_path)), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"no log" in err
