"""A log of past calls that nobody analyzed, the stage that can, and runs of replays over them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from postcall.decisions import ReplayStarted
from postcall.events import SessionEnded
from postcall.log import open_record
from postcall.log_connection import LogConnection
from postcall.messages import Message
from postcall.settings import Configuration
from postcall.topics import ANALYSIS_BACKFILL, DECISIONS, EVENTS, INSIGHTS, Topic
from streams.appender import Appender
from streams.replay.insights_driver import InsightsDriver
from streams.replay.insights_selection import Selection
from streams.replay.runs import Run
from streams.replay.runs_decisions import find_run, start_run
from streams.replay.runs_reading import read_ends
from streams.stages import build_stage
from tests.streams.log_contents import append_all, read_all
from tests.streams.replay.paid_model import PaidModel, ended, ended_record
from tests.streams.running import running


class PastCalls:
    """A log, and what is done with it."""

    def __init__(self, address: str, data_dir: Path, model: PaidModel) -> None:
        self.address = address
        self.log = LogConnection(address)
        self.data_dir = data_dir
        self.model = model

    async def end_calls(self, *numbers: int) -> list[SessionEnded]:
        """Append the ends of calls to the events."""
        events = [ended(number) for number in numbers]
        await append_all(self.address, [ended_record(event) for event in events])
        return events

    def stage(self, *, concurrency: int = 4) -> AbstractAsyncContextManager[None]:
        """Run the real stage while the block lasts."""
        configuration = Configuration(
            environment=self.model.environment,
            flags={"data_dir": self.data_dir, "kafka": self.address, "analysis_concurrency": concurrency},
        )
        stage = build_stage("insights", configuration, self.data_dir)
        return running(stage, log=self.address, data_dir=self.data_dir)

    async def start(self, calls: Sequence[SessionEnded], *, budget_usd: Decimal | None = None) -> Run:
        """Write down a run over the winning transcripts of these calls."""
        started = ReplayStarted(
            run_id=uuid4(),
            stage="insights",
            selection=Selection(analyzer="summary", revision=1).describe(),
            requests=len(calls),
            parts=1 if calls else 0,
            budget_usd=budget_usd,
            ends=await read_ends(self.log, [EVENTS, ANALYSIS_BACKFILL, INSIGHTS]),
        )
        async with self.appender() as appender:
            return await start_run(appender, started, [(call.session_id, call.input_hash) for call in calls])

    async def find(self, run_id: UUID) -> Run:
        """The run as the log tells it."""
        return await find_run(self.log, run_id)

    def driver(self, run: Run, *, window: int = 8, budget_usd: Decimal | None = None) -> InsightsDriver:
        """A driver for a run, that knows nothing yet."""
        return InsightsDriver(run, log=self.log, window=window, budget_usd=budget_usd)

    async def drive(self, driver: InsightsDriver) -> str | None:
        """Drive it to where it stops; says why."""
        async with self.appender() as appender:
            return await driver.drive(appender)

    @contextlib.asynccontextmanager
    async def appender(self) -> AsyncIterator[Appender]:
        """To append with."""
        appender = Appender(self.log)
        try:
            yield appender
        finally:
            await appender.close()

    async def asked(self) -> list[str]:
        """The sessions asked for in bulk so far."""
        return [(record.key or b"").decode() for record in await read_all(self.address, ANALYSIS_BACKFILL)]

    async def decisions(self) -> list[Message]:
        """What was decided, in no order."""
        return await self._messages(DECISIONS)

    async def outcomes(self) -> list[Message]:
        """What became of the analyses, in no order."""
        return await self._messages(INSIGHTS)

    async def _messages(self, topic: Topic) -> list[Message]:
        return [open_record(record).message for record in await read_all(self.address, topic)]
