"""`postcall replay insights` as a person runs it: its process, the stage's and whole machines end in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from postcall.decisions import ReplayFinished, ReplayPaused, ReplayStarted
from postcall.errors import UsageError
from postcall.events import SessionEnded
from postcall.settings import Settings
from postcall.supervisor import Child, StateChange, Supervisor, postcall_command
from projections.files import make_serving
from projections.warehouse import Warehouse
from streams.replay.insights_run import ReplayOptions, resume_and_drive
from streams.replay.runs_decisions import append_decisions
from tests.faults.fuses import Fuses
from tests.projections.logbook import apply_records, number_records
from tests.streams.replay.paid_model import PaidModel, ended_record
from tests.streams.replay.past_calls import PastCalls
from tests.waiting import eventually

_CALLS = 12
_OPTIONS = ReplayOptions(is_dry_run=False, is_confirmed=True, budget_usd=None, as_json=False)


class _Command:
    """Runs the command against a log. At a concurrency of two, four are asked for in bulk, and one is under way."""

    def __init__(self, calls: PastCalls, folder: Path) -> None:
        self.calls = calls
        self.data_dir = folder / "data"
        self.folder = folder
        self.environment = {
            **calls.model.environment,
            "POSTCALL_ENV_FILE": "",
            "POSTCALL_CONFIG": os.devnull,
            "POSTCALL_ANALYSIS_CONCURRENCY": "2",
        }

    def make_warehouse(self, past: Sequence[SessionEnded]) -> None:
        """What projections would have made of the events."""
        self.data_dir.mkdir()
        warehouse = Warehouse(self.data_dir / "warehouse-1.duckdb")
        apply_records(warehouse, number_records(ended_record(event) for event in past))
        warehouse.close()
        make_serving(self.data_dir / "warehouse-1.duckdb")

    @asynccontextmanager
    async def running(self, *options: str, data_dir: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
        """The command, which has ended when the block has."""
        directory = str(data_dir or self.data_dir)
        process = await asyncio.create_subprocess_exec(
            *postcall_command("replay", "insights", "--kafka", self.calls.address, "--data-dir", directory, *options),
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @asynccontextmanager
    async def stage(self, **environment: str) -> AsyncIterator[Callable[[], int]]:
        """The stage in a process that is started again when it ends; tells how many it has had."""
        child = Child(
            name="insights",
            command=postcall_command(
                "streams", "--stage", "insights", "--slot", "0", "--kafka", self.calls.address,
                "--data-dir", str(self.folder / "streams"),
            ),
            environment=os.environ | self.environment | environment,
        )  # fmt: skip
        pids: set[int] = set()

        def note(change: StateChange) -> None:
            if change.pid is not None:
                pids.add(change.pid)

        with (self.folder / "stage.log").open("ab") as output:
            supervisor = Supervisor(on_change=note, output=output)
            try:
                await supervisor.start(child)
                yield lambda: len(pids)
            finally:
                await supervisor.stop()

    async def started_run(self) -> UUID:
        """The id of the only run."""
        (started,) = [each for each in await self.calls.decisions() if isinstance(each, ReplayStarted)]
        return started.run_id


@pytest.mark.timeout(240)
async def test_kills_of_driver_and_stage_make_nobody_pay_twice_and_another_machine_goes_on(
    calls: PastCalls, model: PaidModel, tmp_path: Path
) -> None:
    past = await calls.end_calls(*range(_CALLS))
    command, fuses = _Command(calls, tmp_path), Fuses(tmp_path / "fuses")
    command.make_warehouse(past)
    model.answering.close()
    elsewhere = tmp_path / "elsewhere"
    async with command.stage(**fuses.environment) as count_processes:
        async with command.running("--yes") as driver:
            await _until_asked(calls, 4, driver)
            await eventually(lambda: len(model.answering.waiting) >= 1, timeout_s=60)
            driver.kill()
        burning = asyncio.create_task(fuses.burn("insights.after_outcome_before_index"))
        await asyncio.sleep(0)
        model.answering.let_one_through()
        await burning
        run_id = await command.started_run()
        async with command.running("--resume", str(run_id), data_dir=elsewhere) as driver:
            await _until_asked(calls, 5, driver)
            driver.send_signal(signal.SIGINT)
            out, err = await driver.communicate()
            assert driver.returncode == 130, err.decode()
        assert f"--resume {run_id} --data-dir {elsewhere} --kafka {calls.address}" in err.decode()
        assert not out
        model.answering.open()
        async with command.running("--resume", str(run_id), "--json", data_dir=elsewhere) as driver:
            out, err = await driver.communicate()
            assert driver.returncode == 0, err.decode()
        # The fuse ended it between two analyses. A machine that sleeps may end it within one, which is then paid again.
        cut_off = count_processes() - 2
    facts = json.loads(out)
    assert (facts["state"], facts["sessions"], facts["done"]) == ("finished", _CALLS, _CALLS)
    assert model.paid.keys() == {event.session_id for event in past}
    assert model.paid.total() <= _CALLS + cut_off
    decided = [each for each in await calls.decisions() if getattr(each, "run_id", None) == run_id]
    (paused,) = [each for each in decided if isinstance(each, ReplayPaused)]
    (finished,) = [each for each in decided if isinstance(each, ReplayFinished)]
    assert (paused.reason, paused.pause) == ("stopped by hand", 1)
    assert (finished.requests, finished.absent) == (_CALLS, 0)
    assert float(finished.spent_usd) == facts["spent_usd"]


async def test_only_a_run_that_began_and_has_not_finished_is_resumed(calls: PastCalls) -> None:
    async def resume(run_id: UUID) -> None:
        await resume_and_drive(run_id, log=calls.log, settings=Settings(), options=_OPTIONS)

    with pytest.raises(UsageError, match="There is none to resume"):
        await resume(UUID(int=7))
    done, left = await calls.start([]), await calls.start([])
    async with calls.appender() as appender:
        finished = ReplayFinished(run_id=done.id, requests=0, absent=0, spent_usd=Decimal(0))
        await append_decisions(appender, [finished])
    with pytest.raises(UsageError, match=f"These can be resumed: {left.id}"):
        await resume(UUID(int=7))
    with pytest.raises(UsageError, match="has finished"):
        await resume(done.id)


async def _until_asked(calls: PastCalls, count: int, driver: asyncio.subprocess.Process) -> None:
    """Return once so many were asked for in bulk, by whomever; the driver has not ended meanwhile."""

    async def are_asked() -> bool:
        if driver.returncode is not None:
            assert driver.stderr is not None
            pytest.fail(f"the driver ended: {(await driver.stderr.read()).decode()}")
        return len(await calls.asked()) >= count

    await eventually(are_asked, timeout_s=60)
