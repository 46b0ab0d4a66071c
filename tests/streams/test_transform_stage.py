"""Stages that derive records, on a real log and real Faust."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from postcall.dead_letters import DeadLetter
from postcall.log import open_record
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topics import DEAD_LETTERS, EVENTS, MAX_RECORD_BYTES, RECORDING_REQUESTS, WEBHOOKS, Topic
from streams.normalize import normalize
from streams.plan import plan
from streams.transform import Derive, TransformStage
from tests.streams.deliveries import END_BODY, UPDATE_BODY, deliver, deliver_message, read_back
from tests.streams.log_contents import append_all, count_records, read_all, read_ids
from tests.streams.running import running
from tests.waiting import eventually

pytestmark = pytest.mark.both_logs

NORMALIZE = partial(normalize, sources=load_sources(Configuration()))


def stage_of(log: str, directory: Path, derive: Derive = NORMALIZE, name: str = "normalize") -> TransformStage:
    return TransformStage(name, derive, log=LogConnection(log), directory=directory)


async def has(log: str, count: int, topic: Topic = EVENTS) -> bool:
    return await count_records(log, topic) >= count


async def test_deliveries_become_events_and_events_become_requests(log: str, tmp_path: Path) -> None:
    planner = partial(plan, analyzers=())
    async with (
        running(stage_of(log, tmp_path / "a"), log=log, data_dir=tmp_path / "a"),
        running(stage_of(log, tmp_path / "b", planner, "plan"), log=log, data_dir=tmp_path / "b"),
    ):
        await append_all(log, [deliver(END_BODY), deliver(UPDATE_BODY), deliver(END_BODY), deliver(UPDATE_BODY)])
        await eventually(lambda: has(log, 2, RECORDING_REQUESTS))
    events, requests = await read_ids(log, EVENTS), await read_ids(log, RECORDING_REQUESTS)
    assert (len(events), len(set(events))) == (4, 2)
    assert (len(requests), len(set(requests))) == (2, 1)


async def test_what_is_derived_too_large_is_a_dead_letter(log: str, tmp_path: Path) -> None:
    def swell(record: Record) -> Sequence[NewRecord]:
        size = MAX_RECORD_BYTES if record.value == b"large" else 10
        return [NewRecord(topic=EVENTS.name, key=record.key, value=b"x" * size)]

    await append_all(log, [NewRecord(topic=WEBHOOKS.name, key=b"s", value=value) for value in (b"large", b"small")])
    async with running(stage_of(log, tmp_path, swell), log=log, data_dir=tmp_path):
        await eventually(lambda: has(log, 1))
    (letter,) = [open_record(record).message for record in await read_all(log, DEAD_LETTERS)]
    assert isinstance(letter, DeadLetter)
    assert letter.error_class == "schema"


async def test_a_large_record_passes(log: str, tmp_path: Path) -> None:
    def copy(record: Record) -> Sequence[NewRecord]:
        return [NewRecord(topic=EVENTS.name, key=record.key, value=record.value)]

    large = b"x" * (MAX_RECORD_BYTES - 10_000)
    await append_all(log, [NewRecord(topic=WEBHOOKS.name, key=b"s", value=large)])
    async with running(stage_of(log, tmp_path, copy), log=log, data_dir=tmp_path):
        await eventually(lambda: has(log, 1))


async def test_members_that_join_and_leave_lose_nothing(log: str, tmp_path: Path) -> None:
    total = 3000
    await append_all(log, [deliver_message(number) for number in range(1000)])
    async with running(stage_of(log, tmp_path / "first"), log=log, data_dir=tmp_path / "first"):
        async with running(stage_of(log, tmp_path / "second"), log=log, data_dir=tmp_path / "second"):
            await append_all(log, [deliver_message(number) for number in range(1000, 2000)])
        await append_all(log, [deliver_message(number) for number in range(2000, total)])

        async def has_all() -> bool:
            # What a rebalance had done twice counts once.
            return await has(log, total) and len(set(await read_ids(log, EVENTS))) >= total

        await eventually(has_all)
    wanted = {record.header("ce_id") for number in range(total) for record in _derived(number)}
    assert set(await read_ids(log, EVENTS)) == wanted


def _derived(number: int) -> list[Record]:
    return [read_back(record) for record in NORMALIZE(read_back(deliver_message(number)))]
