"""A worker crashes after a rebalance with `processing_guarantee="exactly_once"` (faust-streaming #323).

Faust has one transactional producer for each partition. When a partition goes to another worker, its producer stays:
`TransactionManager.on_rebalance` stops none. The other worker's producer fences it; when the partition comes back,
`maybe_begin_transaction` goes on with the fenced one, and the next commit ends the worker.

Our stages do not use Faust's transactions: they process at least once, and make repeats harmless by identity.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from faust.types import ProcessingGuarantee

from postcall.log_connection import LogConnection
from postcall.topics import EVENTS
from streams.faust_app import build_app
from tests.streams.faust_defects.partitions import STAGE_GROUP, TOPIC, append_values, committed
from tests.streams.faust_defects.plain_app import GO, PlainApp
from tests.streams.faust_defects.watched_stage import WatchedStage
from tests.streams.log_contents import PARTITIONS
from tests.streams.running import running
from tests.waiting import eventually


@contextlib.asynccontextmanager
async def load(log: str) -> AsyncIterator[dict[int, int]]:
    """Append to all partitions in turn while the block runs; yields how many records each has."""
    counts = dict.fromkeys(range(PARTITIONS), 0)
    is_over = asyncio.Event()

    async def append() -> None:
        for partition in itertools.cycle(counts):
            if is_over.is_set():
                break
            await append_values(log, partition, GO)
            counts[partition] += 1

    appending = asyncio.create_task(append())
    try:
        yield counts
    finally:
        is_over.set()
        await appending


@pytest.mark.kafka  # the embedded log has no transactions
@pytest.mark.parametrize("log_address", ["kafka"], indirect=True)
async def test_plain_faust_crashes_when_a_partition_comes_back_from_another_worker(log: str, tmp_path: Path) -> None:
    first, second = (
        PlainApp(
            log=log,
            topic=TOPIC.name,
            directory=str(tmp_path / name),
            output=EVENTS.name,
            settings={"processing_guarantee": "exactly_once", "broker_heartbeat_interval": 1.0},
        )
        for name in ("first", "second")
    )
    async with load(log):
        with first.running() as staying:
            await eventually(lambda: len(first.done) >= PARTITIONS, timeout_s=60)
            with second.running() as passing:
                await eventually(lambda: len(second.done) >= PARTITIONS, timeout_s=60)
                passing.stop(limit_s=60)
            await eventually(lambda: staying.has_ended, timeout_s=60)
    assert "ProducerFenced" in staying.logged


@pytest.mark.both_logs
async def test_our_stages_survive_that_others_come_and_go(log: str, tmp_path: Path) -> None:
    first, second = (WatchedStage(log, tmp_path / name) for name in ("first", "second"))
    async with running(first, log=log, data_dir=first.directory):
        async with load(log) as counts:
            await eventually(lambda: first.taken.total() >= PARTITIONS)
            async with running(second, log=log, data_dir=second.directory):
                await eventually(lambda: second.taken.total() >= PARTITIONS)
            taken_before = first.taken.total()
            await eventually(lambda: first.taken.total() >= taken_before + PARTITIONS)

        async def are_committed() -> bool:
            return await committed(log, STAGE_GROUP) == counts

        await eventually(are_committed)
    places = [(partition, offset) for partition, count in counts.items() for offset in range(count)]
    assert first.taken + second.taken == dict.fromkeys(places, 1)


async def test_our_apps_process_at_least_once(tmp_path: Path) -> None:
    async def receive(_: Any) -> None:
        """Nothing is received."""

    stage = WatchedStage("127.0.0.1:9", tmp_path)
    app = build_app(stage, receive, log=LogConnection("127.0.0.1:9"), directory=tmp_path)
    await stage.close()
    assert app.conf.processing_guarantee == ProcessingGuarantee.AT_LEAST_ONCE
    assert not app.in_transaction
