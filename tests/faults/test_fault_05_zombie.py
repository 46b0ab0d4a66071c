"""Fault 5: the stages of a process sleep for longer than their sessions, and wake while others do their work."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from postcall.records import Record
from postcall.stage_groups import read_stage_groups
from postcall.topics import (
    ANALYSIS_REQUESTS,
    EVENTS,
    INSIGHTS,
    RECORDING_REQUESTS,
    RECORDINGS,
    STAGE_INPUTS,
    WEBHOOKS,
    Topic,
    stage_group,
)
from tests.faults.committed import watched_offsets
from tests.faults.oracle import read_outcomes, read_topic
from tests.pipeline.processes import signal_all
from tests.scaling.cluster import Cluster, running_cluster
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

pytestmark = [
    pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True),
    pytest.mark.timeout(300),
]

_OTHERS = ("ingest-a", "streams-a", "projections")
#: Of the settings: so much is under way at once in a process.
_DOWNLOADS_AT_ONCE, _MODEL_CALLS_AT_ONCE = 8, 16


async def test_fault_05_a_process_that_wakes_after_its_session_does_nothing_that_is_another_ones(
    log_address: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with running_cluster(log_address, tmp_path / "data", calls=600, seed=52, names=_OTHERS) as cluster:
        groups = [stage_group(stage) for stage in STAGE_INPUTS]
        with ExitStack() as stack:
            sleepers = {stage: stack.enter_context(_running_alone(cluster, stage)) for stage in STAGE_INPUTS}
            await cluster.take_over_s(members=2)
            async with watched_offsets(cluster.log, groups) as watch, cluster.load(rate_per_s=40) as load:
                await _until_all_work(cluster)
                downloads, calls = cluster.vendor.downloads.under_way, cluster.model.calls.under_way
                signal_all([sleeper.pid for sleeper in sleepers.values()], signal.SIGSTOP)
                asleep_since_s = time.time()
                _let_work_end(cluster)
                record_property("seconds from the stop to the take-over", await cluster.take_over_s(members=1))
                # All that lay with the sleepers is done again before they wake, and what comes now is another's alone.
                await load.until_accepted(more=100)
                await eventually(partial(_have_outcomes, cluster, RECORDINGS, downloads), timeout_s=60)
                await eventually(partial(_have_outcomes, cluster, INSIGHTS, calls), timeout_s=60)
                signal_all([sleeper.pid for sleeper in sleepers.values()], signal.SIGCONT)
                await eventually(partial(_have_noticed, cluster, sleepers), timeout_s=60)
                await load.until_accepted(more=40)
                await asyncio.gather(
                    *(asyncio.to_thread(each.stop) for each in sleepers.values() if not each.has_ended)
                )
        await cluster.hold(load.ledger)
        for effects, sessions, at_once, topic in (
            (cluster.vendor.downloads, downloads, _DOWNLOADS_AT_ONCE, RECORDINGS),
            (cluster.model.calls, calls, _MODEL_CALLS_AT_ONCE, INSIGHTS),
        ):
            record_property(f"{topic.name}: had twice", len(effects.repeated))
            assert effects.repeated <= sessions
            assert 0 < len(effects.repeated) <= at_once
            assert max(effects.counts.values()) == 2
            assert {record.key.decode() for record in await _written_twice(cluster, topic) if record.key} <= sessions
        for topic in (EVENTS, RECORDING_REQUESTS, ANALYSIS_REQUESTS):
            twice = await _written_twice(cluster, topic)
            record_property(f"{topic.name}: written twice", len(twice))
            assert await _last_cause_s(cluster, twice) < asleep_since_s, "a sleeper wrote what was another one's"
        assert watch.looks
        assert not watch.went_back


@contextmanager
def _running_alone(cluster: Cluster, stage: str) -> Iterator[StageProcess]:
    """One stage that nobody watches over: who does would take a long sleep for silence, and kill it."""
    log_file = cluster.data_dir.with_name(f"{stage}-alone.log")
    with stage_process(
        "postcall", "streams", "--stage", stage, log_file=log_file, environment=cluster.environment
    ) as process:
        yield process


async def _have_noticed(cluster: Cluster, sleepers: Mapping[str, StageProcess]) -> bool:
    """Whether each sleeper that woke has ended, or joined its group anew."""
    joined = {group.stage for group in await read_stage_groups(cluster.log) if group.members == 2}
    return all(sleeper.has_ended or stage in joined for stage, sleeper in sleepers.items())


async def _until_all_work(cluster: Cluster) -> None:
    """Let both processes begin as much as they may, and end none of it."""
    cluster.vendor.half_way.close()
    cluster.model.answering.close()
    await eventually(lambda: len(cluster.vendor.downloads.under_way) == 2 * _DOWNLOADS_AT_ONCE, timeout_s=60)
    await eventually(lambda: len(cluster.model.calls.under_way) == 2 * _MODEL_CALLS_AT_ONCE, timeout_s=60)


def _let_work_end(cluster: Cluster) -> None:
    cluster.vendor.half_way.open()
    cluster.model.answering.open()


async def _have_outcomes(cluster: Cluster, topic: Topic, sessions: set[str]) -> bool:
    return sessions <= (await read_outcomes(cluster.log, topic)).keys()


async def _written_twice(cluster: Cluster, topic: Topic) -> list[Record]:
    """What was derived twice from the very same record."""
    records = await read_topic(cluster.log, topic.name)
    counts = Counter(map(_derivation, records))
    return [record for record in records if counts[_derivation(record)] > 1]


def _derivation(record: Record) -> tuple[str | None, str | None]:
    return record.header("ce_id"), record.header("ce_causation")


async def _last_cause_s(cluster: Cluster, records: list[Record]) -> float:
    """When the youngest of the records came from which these were derived."""
    causes = {record.header("ce_causation") for record in records}
    found = [
        record.timestamp_ms / 1000
        for topic in (WEBHOOKS, EVENTS)
        for record in await read_topic(cluster.log, topic.name)
        if str(record.position) in causes
    ]
    return max(found, default=0.0)
