"""Fault 6: the log is silent for a minute, and then it is killed and comes back with all that it had."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ingest.appender import APPEND_DEADLINE_S
from tests.faults.ledger import Load
from tests.faults.oracle import hold_oracle
from tests.faults.pipelines import Pipeline, running_pipeline
from tests.faults.vendor import running_vendor
from tests.logs.java_node import JavaNode

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

_SILENCE_S = 60
_ABSENCE_S = 5
# What a busy machine adds to a deadline.
_MARGIN_S = 3.0
# 384 MiB are offered at once; the door holds 192 MiB of bodies at most.
_FLOOD_REQUESTS = 96
_FLOOD_BODY_BYTES = 4 * 1024 * 1024
_MOST_MEMORY_MB = 320


async def test_fault_06_a_log_that_is_silent_for_a_minute_and_then_killed_loses_nothing(
    own_kafka: JavaNode, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with (
        running_vendor(calls=400, seed=61) as vendor,
        running_pipeline(own_kafka.address, tmp_path / "data", vendor) as pipeline,
    ):
        async with pipeline.load() as load:
            await load.until_accepted(more=50)
            resumes_at_s = time.monotonic() + _SILENCE_S
            own_kafka.pause()
            record_property("memory of all processes under a flood, MB more", round(await hold_silence(pipeline, load)))
            flooded_until_s = time.monotonic()
            assert flooded_until_s < resumes_at_s, "an answer to the flood hung"
            await asyncio.sleep(resumes_at_s - flooded_until_s)
            own_kafka.resume()
            record_property("accepting again after a silence, s", await load.until_accepted(more=50))
            own_kafka.kill()
            await asyncio.sleep(_ABSENCE_S)
            await asyncio.to_thread(own_kafka.start)
            record_property("accepting again after a kill, s", await load.until_accepted(more=50))
            # What was asked within the flood waited for its bodies to be sent, which says nothing of the door.
            slowest_s = max(one.seconds for one in load.ledger.requests if one.asked_at_s > flooded_until_s)
            assert slowest_s < APPEND_DEADLINE_S + _MARGIN_S, "an answer hung"
        record_property("all read after, s", await pipeline.until_drained())
        await hold_oracle(pipeline, load.ledger)


async def hold_silence(pipeline: Pipeline, load: Load) -> float:
    """While the log is silent: answers are honest and in time, and memory is bounded; says by how much it grew."""
    memory_mb = pipeline.memory_mb()
    deliveries = [request.delivery for request in load.ledger.accepted]
    async with httpx.AsyncClient(base_url=pipeline.ingest, timeout=30, trust_env=False) as client:
        asking = [
            asyncio.create_task(load.ledger.ask(client, delivery, padding=b" " * (_FLOOD_BODY_BYTES + number)))
            for number, delivery in zip(range(_FLOOD_REQUESTS), itertools.cycle(deliveries), strict=False)
        ]
        await asyncio.sleep(APPEND_DEADLINE_S / 2)
        held_mb = pipeline.memory_mb() - memory_mb
        assert held_mb < _MOST_MEMORY_MB, "memory is not bounded"
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        assert {request.status for request in await asyncio.gather(*asking)} == {503}
    return held_mb
