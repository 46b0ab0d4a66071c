"""Fault 10: the log is another one behind the same address: it stands still until a person has accepted it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from postcall.log_connection import LogConnection
from postcall.topics import STAGE_INPUTS, WEBHOOKS
from tests.faults.alterations import make_topic_anew
from tests.faults.ledger import Ledger
from tests.faults.oracle import hash_tables, hold_log, hold_oracle, hold_rebuild, hold_tables, read_topic
from tests.faults.pipelines import Pipeline, running_pipeline
from tests.faults.vendor import running_vendor
from tests.logs.java_node import JavaNode

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


async def test_fault_10_a_log_that_came_back_empty_is_read_when_it_is_accepted(
    own_kafka: JavaNode, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with (
        running_vendor(calls=400, seed=101) as vendor,
        running_pipeline(own_kafka.address, tmp_path / "data", vendor) as pipeline,
    ):
        async with pipeline.load() as load:
            await load.until_accepted(more=50)
            own_kafka.pause()
            await asyncio.sleep(1)  # so that no answer from before is still on its way
            emptied_at_s = time.monotonic()
            own_kafka.kill()
            own_kafka.empty()
            await asyncio.to_thread(own_kafka.start)
            record_property("accepting again on an empty log, s", await load.until_accepted(more=50))
            began_at_s = time.monotonic()
            findings = await pipeline.until_held(*STAGE_INPUTS, "projections")
            record_property("all readers held after, s", round(time.monotonic() - began_at_s, 1))
            assert "made_anew" in {finding.kind for finding in findings}
            async with nothing_read(pipeline):
                await load.until_accepted(more=50)
            assert "makes new tables from this log" in await pipeline.accept_log()
            await load.until_accepted(more=50)
        await hold_oracle(pipeline, load.ledger.answered_since(emptied_at_s), also_allowed=load.ledger)


async def test_fault_10_a_topic_that_was_made_anew_is_known_although_it_is_longer(
    own_kafka: JavaNode, tmp_path: Path
) -> None:
    address, data_dir = own_kafka.address, tmp_path / "data"
    log, ledger = LogConnection(address), Ledger()
    async with running_vendor(calls=400, seed=102) as vendor:
        async with running_pipeline(address, data_dir, vendor) as pipeline:
            async with pipeline.load(ledger) as load:
                await load.until_accepted(more=50)
            await pipeline.until_drained()
        await make_webhooks_anew(log)
        async with running_pipeline(address, data_dir, vendor) as pipeline:
            await hold_until_accepted(pipeline, ledger)
            with pipeline.readers_paused():
                await make_webhooks_anew(log)
            await hold_until_accepted(pipeline, ledger)
            await hold_rebuild(pipeline)


async def make_webhooks_anew(log: LogConnection) -> None:
    """Every webhook is there again, twice, and none where it was."""
    records = await read_topic(log, WEBHOOKS.name)
    await make_topic_anew(log, WEBHOOKS.name, [*reversed(records), *records])


async def hold_until_accepted(pipeline: Pipeline, ledger: Ledger) -> None:
    """Hold that who reads webhooks stands still, and has all of them once the log is accepted; the door is open."""
    findings = await pipeline.until_held("normalize", "projections")
    assert {(finding.kind, finding.topic) for finding in findings} == {("made_anew", WEBHOOKS.name)}
    async with nothing_read(pipeline), pipeline.load(ledger) as load:
        await load.until_accepted(more=20)
    await pipeline.accept_log()
    await pipeline.until_drained()
    stored = await read_topic(pipeline.log, WEBHOOKS.name)
    hold_log(stored, ledger)
    await hold_tables(pipeline, ledger, webhooks=len(stored))


@contextlib.asynccontextmanager
async def nothing_read(pipeline: Pipeline) -> AsyncIterator[None]:
    """Hold that readers stand still while the block runs, and that SQL answers from what was there before."""
    before = await hash_tables(pipeline)
    yield
    assert await hash_tables(pipeline) == before
    async with httpx.AsyncClient(base_url=pipeline.private, trust_env=False) as client:
        ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert "postcall log accept" in ready.text
