"""Laws of members: who stops in order leaves nothing half done, and who takes over begins nothing that is done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from postcall.lag import read_log_state
from postcall.log_connection import LogConnection
from postcall.records import Record
from tests.streams.laws.bench import Bench
from tests.streams.laws.stages import EVERY, EVERY_ENGINE, ONE_OF_EACH, for_stages
from tests.streams.laws.subjects import CONCURRENCY
from tests.waiting import eventually


@for_stages(EVERY_ENGINE, on_kafka=EVERY)
async def test_a_stop_in_the_midst_and_another_member_that_knows_only_the_log_repeat_nothing(bench: Bench) -> None:
    sessions = [f"s-{number}" for number in range(bench.subject.backlog)]
    await bench.put(*sessions)
    close_gate(bench)
    async with bench.running():
        await until_in_the_midst(bench)
        # While it stops: what is under way may end.
        asyncio.get_running_loop().call_later(0.5, open_gate, bench)
    assert 0 < len(await bench.results()) < len(sessions)
    async with bench.running("who knows nothing but the log"):
        await bench.until_done(*sessions)
    assert Counter(await bench.results()) == Counter(dict.fromkeys(bench.expected(sessions), 1))
    if bench.subject.outside is not None:
        assert bench.outside.asked == dict.fromkeys(sessions, 1)


async def until_in_the_midst(bench: Bench) -> None:
    """Return once much is done, or much is under way, and much is not."""
    if bench.subject.outside is not None:
        await eventually(lambda: len(bench.outside.gate.waiting) == CONCURRENCY)
    else:
        await eventually(lambda: bench.own_code.called.total() >= bench.subject.backlog // 10)


def close_gate(bench: Bench) -> None:
    if bench.subject.outside is not None:
        bench.outside.gate.close()


def open_gate(bench: Bench) -> None:
    if bench.subject.outside is not None:
        bench.outside.gate.open()


@for_stages(ONE_OF_EACH, on_kafka=ONE_OF_EACH)
async def test_no_offset_moves_before_the_stage_is_done_with_the_records(bench: Bench) -> None:
    """How it is durable is one thing for those that derive, and another for those that file."""
    is_open, was_called = asyncio.Event(), asyncio.Event()
    sessions = [f"s-{number}" for number in range(bench.subject.backlog)]

    async def lag() -> int:
        state = await read_log_state(LogConnection(bench.log))
        return next(stage.lag for stage in state.stages if stage.stage == bench.subject.name)

    async def is_caught_up() -> bool:
        return await lag() == 0

    await bench.put(*sessions)
    stage = bench.build()
    take = stage.take

    async def take_once_open(records: Sequence[Record]) -> None:
        was_called.set()
        await is_open.wait()
        await take(records)

    vars(stage)["take"] = take_once_open
    async with bench.running_stage(stage):
        await was_called.wait()
        await asyncio.sleep(1.3)  # two commit intervals: that nothing happens can only be waited for
        lag_meanwhile = await lag()
        is_open.set()
        await eventually(is_caught_up)
    assert lag_meanwhile == len(sessions)
