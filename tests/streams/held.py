"""Running a stage that may be held, within a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from postcall.known_log.acceptance import Acceptance, read_held, write_acceptance
from postcall.known_log.comparison import Finding
from postcall.known_log.hold import Hold
from postcall.log_connection import LogConnection
from streams.run import run_stage
from streams.stage import Stage
from tests.streams.running import keep_awake
from tests.waiting import eventually


@dataclass
class Holdable:
    """What a stage says while it runs."""

    data_dir: Path
    run: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    reasons: list[str] = field(default_factory=list)

    async def until_ended(self, *, timeout_s: float = 60.0) -> BaseException | None:
        """What it ended with by itself."""
        assert self.run is not None
        run, self.run = self.run, None
        await asyncio.wait_for(asyncio.wait([run]), timeout_s)
        return run.exception()

    async def until_ready(self) -> None:
        """Return once it reads."""
        await eventually(self.ready.is_set, timeout_s=30)

    async def until_held(self) -> list[Finding]:
        """Return once it stands still, with what it holds against the log."""
        await eventually(lambda: bool(self.reasons), timeout_s=30)
        assert not self.ready.is_set()
        return [finding for held in read_held(self.data_dir) for finding in held.findings]

    def accept(self) -> None:
        """Accept what it holds against the log."""
        accept(self.data_dir)


def accept(data_dir: Path) -> None:
    """Accept what readers hold against the log, as `postcall log accept` does."""
    accepted = Acceptance(accepted_at=datetime.now(UTC), readers=tuple(read_held(data_dir)))
    write_acceptance(data_dir, accepted)


@contextlib.asynccontextmanager
async def may_be_held(
    stage: Stage, *, log: str, data_dir: Path, watch_interval_s: float = 60.0
) -> AsyncIterator[Holdable]:
    """Run a stage until the block ends; what it fails with is raised then, unless the block has waited for it."""
    keep_awake(stage)
    told, stopping = Holdable(data_dir), asyncio.Event()
    told.run = asyncio.create_task(
        run_stage(
            stage,
            log=LogConnection(log),
            directory=data_dir,
            on_ready=told.ready.set,
            stopping=stopping,
            hold=Hold(f"{stage.name}-0", data_dir=data_dir, on_held=told.reasons.append),
            watch_interval_s=watch_interval_s,
        )
    )
    try:
        yield told
    finally:
        stopping.set()
        if told.run is not None:
            await asyncio.wait_for(told.run, 15)
