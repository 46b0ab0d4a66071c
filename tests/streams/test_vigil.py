"""A process that slept through its session does no more work: others have its partitions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.requests import DownloadRecording
from streams.errors import StageCrashed
from streams.run import run_stage
from streams.slow_stage import SlowStage
from streams.vigil import SESSION_TIMEOUT_S, Vigil
from tests.streams.ledger_worker import LedgerWorker, read_ledger
from tests.streams.log_contents import append_all
from tests.streams.requests import request_record, stored


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_stop_for_longer_than_the_session_is_noticed_by_whoever_looks_first() -> None:
    clock = ManualClock()
    vigil = Vigil(clock=clock)
    clock.now_s += SESSION_TIMEOUT_S / 2
    assert not vigil.is_broken
    clock.now_s += SESSION_TIMEOUT_S
    assert vigil.is_broken


async def test_a_vigil_that_was_broken_stays_so_and_ends_its_keeper() -> None:
    clock = ManualClock()
    vigil = Vigil(clock=clock)
    keeping = asyncio.create_task(vigil.keep())
    await asyncio.sleep(0)
    clock.now_s += SESSION_TIMEOUT_S
    with pytest.raises(StageCrashed):
        await asyncio.wait_for(keeping, 5)
    assert vigil.is_broken


@pytest.mark.both_logs
async def test_work_that_waited_while_the_process_was_stopped_is_not_begun(log: str, tmp_path: Path) -> None:
    clock, begun, may_end = ManualClock(), asyncio.Event(), asyncio.Event()

    async def wait(request: DownloadRecording, attempt: int) -> Outcome:
        begun.set()
        await may_end.wait()
        return stored(request, attempt)

    worker = LedgerWorker(tmp_path / "ledger", answer=wait, concurrency=1)
    stage = SlowStage(worker, log=LogConnection(log), directory=tmp_path, vigil=Vigil(clock=clock))
    await append_all(log, [request_record(1), request_record(2)])
    run = asyncio.create_task(
        run_stage(stage, log=LogConnection(log), directory=tmp_path, on_ready=lambda: None, stopping=asyncio.Event())
    )
    await begun.wait()
    clock.now_s += SESSION_TIMEOUT_S
    may_end.set()
    with pytest.raises(StageCrashed, match="was stopped"):
        await asyncio.wait_for(run, 30)
    assert sum(read_ledger(worker.ledger).values()) == 1
