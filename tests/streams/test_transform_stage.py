"""Stages that derive records, on a real log and real Faust."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from postcall.dead_letters import DeadLetter
from postcall.lag import read_log_state
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
BROKEN = NewRecord(topic=WEBHOOKS.name, key=b"s-1", value=b"not ours")


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


async def test_a_session_keeps_its_order(log: str, tmp_path: Path) -> None:
    deliveries = [deliver_message(number) for number in range(1000)]
    await append_all(log, deliveries)
    async with running(stage_of(log, tmp_path), log=log, data_dir=tmp_path):
        await eventually(lambda: has(log, 1000))
    said: dict[bytes | None, list[str]] = {}
    for record in await read_all(log, EVENTS):
        said.setdefault(record.key, []).append(open_record(record).message.model_dump()["turn_id"])
    expected: dict[bytes | None, list[str]] = {}
    for number, delivery in enumerate(deliveries):
        expected.setdefault(delivery.key, []).append(f"t-{number}")
    assert said == expected


async def test_a_poison_record_is_one_dead_letter_and_the_stream_goes_on(log: str, tmp_path: Path) -> None:
    await append_all(log, [deliver_message(1), BROKEN, BROKEN, deliver_message(2)])
    async with running(stage_of(log, tmp_path), log=log, data_dir=tmp_path):
        await eventually(lambda: has(log, 2))
        await append_all(log, [BROKEN, deliver_message(3)])
        await eventually(lambda: has(log, 3))
    letters = [open_record(record).message for record in await read_all(log, DEAD_LETTERS)]
    assert len({letter.id for letter in letters if isinstance(letter, DeadLetter)}) == 1
    first = letters[0]
    assert isinstance(first, DeadLetter)
    assert (first.stage, first.error_class, first.kafka_topic) == ("normalize", "unreadable", WEBHOOKS.name)


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


async def test_our_own_fault_pauses_at_the_record_and_skips_nothing(
    log: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[bytes] = []

    def fail_twice(record: Record) -> Sequence[NewRecord]:
        if b"call 2." in record.value:
            tries.append(record.value)
            if len(tries) < 4:
                raise KeyError("My boiler is leaking")
        return NORMALIZE(record)

    same_session = [deliver(deliver_message(number).value, session_id="s") for number in range(5)]
    await append_all(log, same_session)
    with caplog.at_level(logging.INFO):
        async with running(stage_of(log, tmp_path, fail_twice), log=log, data_dir=tmp_path):
            await eventually(lambda: has(log, 5))
            await eventually(lambda: "Stage goes on" in caplog.text)
    ids = await read_ids(log, EVENTS)
    assert len(ids) == 5
    assert len(set(ids)) == 5
    assert await count_records(log, DEAD_LETTERS) == 0
    (paused,) = [record for record in caplog.records if getattr(record, "action", "") == "paused"]
    assert "our own code failed: KeyError in fail_twice" in paused.getMessage()
    assert "boiler" not in caplog.text


async def test_no_offset_moves_before_the_stage_is_done_with_the_records(log: str, tmp_path: Path) -> None:
    is_open, was_called = asyncio.Event(), asyncio.Event()

    class GatedStage(TransformStage):
        async def take(self, records: Sequence[Record]) -> None:
            was_called.set()
            await is_open.wait()
            await super().take(records)

    async def lag() -> int:
        state = await read_log_state(LogConnection(log))
        return next(stage.lag for stage in state.stages if stage.stage == "normalize")

    async def is_caught_up() -> bool:
        return await lag() == 0

    await append_all(log, [deliver_message(number) for number in range(250)])
    async with running(
        GatedStage("normalize", NORMALIZE, log=LogConnection(log), directory=tmp_path), log=log, data_dir=tmp_path
    ):
        await was_called.wait()
        await asyncio.sleep(1.3)  # two commit intervals: that nothing happens can only be waited for
        lag_meanwhile = await lag()
        is_open.set()
        await eventually(is_caught_up)
    assert lag_meanwhile == 250
    assert await count_records(log, EVENTS) == 250


async def test_a_stage_that_starts_again_goes_on_where_it_was(log: str, tmp_path: Path) -> None:
    await append_all(log, [deliver_message(number) for number in range(300)])
    async with running(stage_of(log, tmp_path), log=log, data_dir=tmp_path):
        await eventually(lambda: has(log, 300))
    await append_all(log, [deliver_message(number) for number in range(300, 310)])
    async with running(stage_of(log, tmp_path), log=log, data_dir=tmp_path):
        await eventually(lambda: has(log, 310))
    assert len(await read_ids(log, EVENTS)) == 310


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
