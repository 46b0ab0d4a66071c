"""Fault 5: everything is killed at once, the log too."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from postcall.topics import INSIGHTS, RECORDINGS
from tests.faults.effects import Disturbance
from tests.faults.oracle import hold_oracle, read_outcomes
from tests.faults.pipelines import running_pipeline
from tests.faults.stored_files import hold_whole
from tests.faults.vendor import running_vendor
from tests.logs.java_node import JavaNode
from tests.scaling.doors import SpreadLoad
from tests.scaling.model import running_model

pytestmark = pytest.mark.timeout(300)


@pytest.mark.embedded_log
async def test_fault_05_a_kill_of_everything_on_the_embedded_log_loses_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _kill_and_hold(None, tmp_path, record_property, kills=3)


@pytest.mark.kafka
async def test_fault_05_a_kill_of_everything_and_of_kafka_loses_nothing(
    own_kafka: JavaNode, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # Once: it takes Kafka and all processes some twenty seconds to come back.
    await _kill_and_hold(own_kafka, tmp_path, record_property, kills=1)


async def _kill_and_hold(
    kafka: JavaNode | None, tmp_path: Path, record_property: Callable[[str, object], None], *, kills: int
) -> None:
    data_dir, address = tmp_path / "data", kafka.address if kafka else None
    seed = random.randrange(1_000_000)  # noqa: S311 - moments, not secrets
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    moments = random.Random(seed)  # noqa: S311 - as above
    deaths: list[Disturbance] = []
    doors: dict[str, str] = {}
    async with (
        running_vendor(calls=600, seed=51) as vendor,
        running_model(vendor.schedule) as model,
        AsyncExitStack() as loading,
    ):
        load = SpreadLoad(lambda: doors, vendor.schedule.deliveries, before_send=vendor.sessions.advance, rate_per_s=40)
        for _ in range(kills):
            async with running_pipeline(address, data_dir, vendor, **model.environment) as pipeline:
                doors["up"] = pipeline.ingest
                if not deaths:
                    await loading.enter_async_context(load)
                await load.until_accepted(more=moments.randint(80, 160))
                killed_at_s = time.time()
                pipeline.kill_all()
                if kafka is not None:
                    kafka.kill()
                deaths.append(Disturbance(what="kill -9 of everything", from_s=killed_at_s, to_s=time.time()))
            if kafka is not None:
                await asyncio.to_thread(kafka.start)
        async with running_pipeline(address, data_dir, vendor, **model.environment) as pipeline:
            doors["up"] = pipeline.ingest
            await load.until_accepted(more=40)
            await loading.aclose()
            await pipeline.until_settled()
            for effects, topic in ((vendor.downloads, RECORDINGS), (model.calls, INSIGHTS)):
                in_flight = effects.in_flight(deaths, await read_outcomes(pipeline.log, topic))
                assert set(effects.doubled()) <= set(in_flight), "what was done and known of was done again"
                record_property(f"{topic.name}: made twice, in flight", (len(effects.doubled()), len(in_flight)))
            await hold_oracle(pipeline, load.ledger)
            assert hold_whole(data_dir, vendor) == vendor.downloads.counts.keys()
