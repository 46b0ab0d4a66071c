"""Fault 6: the network to the log is slow, lossy, or half open."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.appender import APPEND_DEADLINE_S
from tests.faults.oracle import hold_oracle
from tests.faults.pipelines import running_pipeline
from tests.faults.proxy import Proxy
from tests.faults.vendor import running_vendor

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

# What a busy machine adds to a deadline. An answer that hangs takes as long as the network does, which is longer.
_MARGIN_S = 6.0
_MOST_MEMORY_MB = 150
# Longer than a request to the log may take before it is given up.
_HALF_OPEN_S = 16


async def test_fault_06_a_network_that_is_slow_lossy_and_half_open_loses_nothing_and_hangs_nobody(
    network: Proxy, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with (
        running_vendor(calls=400, seed=62) as vendor,
        running_pipeline(network.address, tmp_path / "data", vendor) as pipeline,
    ):
        async with pipeline.load() as load:
            await load.until_accepted(more=50)
            memory_mb = pipeline.memory_mb()
            for fault in (_slow, _lossy, _half_open_towards_the_log, _half_open_from_the_log):
                await fault(network)
                seconds = await load.until_accepted(more=50)
                record_property(f"accepting again after {fault.__name__.strip('_').replace('_', ' ')}, s", seconds)
            grown_mb = pipeline.memory_mb() - memory_mb
            record_property("memory of all processes, MB more", round(grown_mb))
            assert grown_mb < _MOST_MEMORY_MB
            slowest_s = max(request.seconds for request in load.ledger.requests)
            assert slowest_s < APPEND_DEADLINE_S + _MARGIN_S, "an answer hung"
        record_property("all read after, s", await pipeline.until_drained())
        await hold_oracle(pipeline, load.ledger)


async def _slow(proxy: Proxy) -> None:
    proxy.slow_down(1.0)
    await asyncio.sleep(6)
    proxy.slow_down(0)


async def _lossy(proxy: Proxy) -> None:
    until_s = time.monotonic() + 8
    while time.monotonic() < until_s:
        proxy.drop_all()
        await asyncio.sleep(random.uniform(0.2, 2))  # noqa: S311 - pytest prints and sets the seed


async def _half_open_towards_the_log(proxy: Proxy) -> None:
    """Nothing arrives there, and it is lost in the end."""
    proxy.to_log.flows.clear()
    await asyncio.sleep(_HALF_OPEN_S)
    proxy.drop_all()
    proxy.to_log.flows.set()


async def _half_open_from_the_log(proxy: Proxy) -> None:
    """It has what it was sent, and its answers come much too late."""
    proxy.from_log.flows.clear()
    await asyncio.sleep(_HALF_OPEN_S)
    proxy.from_log.flows.set()
