"""Running a stage within a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from postcall.log_connection import LogConnection
from streams.run import run_stage
from streams.stage import Stage
from streams.vigil import Vigil


@contextlib.asynccontextmanager
async def running(
    stage: Stage, *, log: str, data_dir: Path, on_pause: Callable[[str | None], None] = lambda _: None
) -> AsyncIterator[None]:
    """Run a stage; the block begins when it is ready, and the stage stops in order when the block ends."""
    keep_awake(stage)
    ready, stopping = asyncio.Event(), asyncio.Event()
    run = asyncio.create_task(
        run_stage(
            stage,
            log=LogConnection(log),
            directory=data_dir,
            on_ready=ready.set,
            stopping=stopping,
            on_pause=on_pause,
        )
    )
    is_ready = asyncio.create_task(ready.wait())
    await asyncio.wait([run, is_ready], return_when=asyncio.FIRST_COMPLETED, timeout=30)
    is_ready.cancel()
    if run.done():
        run.result()
    assert ready.is_set(), "the stage did not become ready"
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(run, 30)


def keep_awake(stage: Stage) -> None:
    """Let a stage go on though its event loop stood still, as a test's does for long while the machine is busy."""
    if stage.vigil is not None:
        stage.vigil = Vigil(clock=lambda: 0.0)
