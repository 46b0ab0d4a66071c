"""Work under way when its partition goes to another process is finished first, and begun by nobody else."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.requests import DownloadRecording
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topics import EVENTS
from streams.normalize import normalize
from streams.slow_stage import SlowStage
from streams.transform import TransformStage
from tests.streams.deliveries import deliver_message
from tests.streams.ledger_worker import LedgerWorker, make_stage, read_ledger
from tests.streams.log_contents import append_all, count_records
from tests.streams.requests import request_record, stored
from tests.streams.running import running
from tests.waiting import eventually

TOTAL = 24


class Gate:
    """Holds all work until it is opened."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()

    def open(self) -> None:
        self._opened.set()

    async def answer(self, request: DownloadRecording, attempt: int) -> Outcome:
        await self._opened.wait()
        return stored(request, attempt)


def make(tmp_path: Path, log: str, name: str, gate: Gate) -> SlowStage[DownloadRecording]:
    (tmp_path / name).mkdir()
    worker = LedgerWorker(tmp_path / "ledger", answer=gate.answer, concurrency=8)
    return make_stage(worker, log=log, data_dir=tmp_path / name)


async def all_concluded(log: str) -> bool:
    return await count_records(log, LedgerWorker.outcomes) == TOTAL


@pytest.mark.both_logs
async def test_a_new_member_begins_nothing_that_another_has_under_way(log: str, tmp_path: Path) -> None:
    gate = Gate()
    await append_all(log, [request_record(number) for number in range(TOTAL)])
    first, second = make(tmp_path, log, "first", gate), make(tmp_path, log, "second", gate)
    async with running(first, log=log, data_dir=tmp_path / "first"):
        await eventually(lambda: read_ledger(tmp_path / "ledger").total() == 8)
        asyncio.get_running_loop().call_later(3, gate.open)  # by then the second one has asked to join
        async with running(second, log=log, data_dir=tmp_path / "second"):
            await eventually(lambda: all_concluded(log))
    assert set(read_ledger(tmp_path / "ledger").values()) == {1}


@pytest.mark.both_logs
async def test_who_stops_in_order_leaves_nothing_under_way_to_others(log: str, tmp_path: Path) -> None:
    first_gate, open_gate = Gate(), Gate()
    open_gate.open()
    await append_all(log, [request_record(number) for number in range(TOTAL)])
    first, second = make(tmp_path, log, "first", first_gate), make(tmp_path, log, "second", open_gate)
    async with AsyncExitStack() as firsts, AsyncExitStack() as seconds:
        await firsts.enter_async_context(running(first, log=log, data_dir=tmp_path / "first"))
        await eventually(lambda: read_ledger(tmp_path / "ledger").total() == 8)
        asyncio.get_running_loop().call_later(2, first_gate.open)  # in the middle of the stop
        second_runs = running(second, log=log, data_dir=tmp_path / "second")
        await asyncio.gather(firsts.aclose(), seconds.enter_async_context(second_runs))
        await eventually(lambda: all_concluded(log))
    assert set(read_ledger(tmp_path / "ledger").values()) == {1}


@pytest.mark.both_logs
async def test_members_that_come_and_go_under_load_take_no_record_twice(log: str, tmp_path: Path) -> None:
    derive = partial(normalize, sources=load_sources(Configuration()))
    is_over = asyncio.Event()
    numbers = itertools.count()

    async def load() -> int:
        while not is_over.is_set():
            await append_all(log, [deliver_message(next(numbers)) for _ in range(10)])
        return next(numbers)

    def member(name: str) -> AbstractAsyncContextManager[None]:
        (tmp_path / name).mkdir()
        stage = TransformStage("normalize", derive, log=LogConnection(log), directory=tmp_path / name)
        return running(stage, log=log, data_dir=tmp_path / name)

    async with member("first"):
        loading = asyncio.create_task(load())
        async with member("second"):
            async with member("third"):
                pass
            async with member("fourth"):
                pass
        is_over.set()
        total = await loading

        async def are_all_derived() -> bool:
            return await count_records(log, EVENTS) >= total

        await eventually(are_all_derived)
    assert await count_records(log, EVENTS) == total
