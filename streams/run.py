"""Running one stage: from the first connection to an ordered stop.

A stage whose consumer fails, or whose log becomes another one, ends with `StageCrashed`: its process is started again
by whoever supervises it, looks at the log, and goes on from the committed offsets. That is simpler, and therefore
surer, than a Faust app that is put together again inside of a running process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import faust

from postcall.errors import PostcallError
from postcall.known_log.hold import Hold
from postcall.known_log.watch import WATCH_INTERVAL_S
from postcall.log_connection import LogConnection
from postcall.topics import GENERATION_STAGES
from streams.assignments import Assignments
from streams.breaker import Breaker, Pauses
from streams.errors import StageCrashed
from streams.failures import describe_failure
from streams.faust_app import build_app, give_up
from streams.intake import Intake
from streams.log_check import LogCheck
from streams.stage import Stage

logger = logging.getLogger(__name__)

_Build = Callable[[Stage, Callable[[Any], Awaitable[None]]], faust.App]

# The last three are together below the ten seconds after which a supervisor kills.
_APP_START_LIMIT_S = 4.0
_WORK_LIMIT_S = 5.0
_APP_STOP_LIMIT_S = 3.0
_GIVEN_UP_LIMIT_S = 1.5
_STAGE_CLOSE_LIMIT_S = 1.0


async def run_stage(
    stage: Stage,
    *,
    log: LogConnection,
    directory: Path,
    on_ready: Callable[[], None],
    stopping: asyncio.Event,
    hold: Hold | None = None,
    on_pause: Callable[[str | None], None] = lambda _: None,
    watch_interval_s: float = WATCH_INTERVAL_S,
) -> None:
    """Run a stage until `stopping` is set.

    :param directory: where Faust keeps its files.
    :param hold: holds the stage, before it reads, while the log is not the one that it knows; None = that is raised.
    :param on_pause: called with the reason when the stage pauses, and with None when it goes on.
    :raises StageCrashed: its consumer failed, or the log became another one.
    :raises GenerationReplaced: another generation of events than the stage's is the live one.
    :raises LogMismatch: the log is not the one that it knows, and nothing holds it.
    :raises PostcallError: the stage cannot run; says why.
    """
    stop = asyncio.create_task(stopping.wait())
    check = LogCheck(stage, log=log, hold=hold, watch_interval_s=watch_interval_s)
    pauses = Pauses(on_pause)
    build = partial(build_app, log=log, directory=directory)
    consume = asyncio.create_task(_consume(stage, check, build, on_ready, pauses))
    try:
        await asyncio.wait([stop, consume], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        consume.cancel()
        result = (await asyncio.gather(consume, return_exceptions=True))[0]
    if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
        raise result


async def _consume(stage: Stage, check: LogCheck, build: _Build, on_ready: Callable[[], None], pauses: Pauses) -> None:
    intake_breaker = Breaker(stage.name, tell=pauses.listen("records"))
    if stage.breaker is not None:
        stage.breaker.tell = pauses.listen("work")
    async with _opened(stage):
        log = await check.until_known()
        assignments = Assignments(stage, on_ready=on_ready)
        intake = Intake(stage, until_owned=assignments.until_owned, breaker=intake_breaker)
        app = build(stage, intake.receive)
        assignments.listen(app)
        started = asyncio.Event()
        running = [intake.run(), assignments.follow(), check.until_changed(log), stage.tend()]
        if stage.name in GENERATION_STAGES:
            running.append(check.until_replaced())
        if stage.vigil is not None:
            running.append(stage.vigil.keep())
        # The app last: whatever ends first ends it too, and of several reasons the first is told.
        parts = [asyncio.create_task(part) for part in (*running, _run_app(app, started))]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stage.drain()
            if not any(part.done() for part in parts):
                # Stopped while it starts, Faust would leave its consumer running.
                await _within(_APP_START_LIMIT_S, started.wait())
            # Still a member of the group: once it has left, somebody else would begin the same work.
            await stage.finish(_WORK_LIMIT_S)
            # The intake still runs meanwhile: what Faust handed out is finished and committed.
            await _stop_app(app, stage)
            for part in parts:
                part.cancel()
            results = await asyncio.gather(*parts, return_exceptions=True)
            await check.prove(log)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result


@contextlib.asynccontextmanager
async def _opened(stage: Stage) -> AsyncIterator[None]:
    await stage.open()
    try:
        yield
    finally:
        await _within(_STAGE_CLOSE_LIMIT_S, stage.close())


async def _run_app(app: faust.App, started: asyncio.Event) -> None:
    """Start the app and wait for its end, which is a failure."""
    try:
        await app.start()
        started.set()
        await app.wait()
        reason = app.crash_reason
    except Exception as error:  # noqa: BLE001 - whatever Faust fails with, the process ends and is started again
        reason = error
    if isinstance(reason, PostcallError):
        raise reason
    failure = describe_failure(reason) if reason is not None else "it stopped by itself"
    raise StageCrashed(f"The consumer of {app.conf.id} failed: {failure}.") from reason


async def _stop_app(app: faust.App, stage: Stage) -> None:
    """Stop the app; what it handed out is waited for, unless it is somebody else's by now."""
    if stage.vigil is not None and stage.vigil.is_broken:
        give_up(app)
    stopping = asyncio.create_task(app.stop())
    await asyncio.wait([stopping], timeout=_APP_STOP_LIMIT_S)
    if not stopping.done():
        _say_cut_short()
        give_up(app)
    await _within(_GIVEN_UP_LIMIT_S, stopping)


async def _within(limit_s: float, ending: Awaitable[object]) -> None:
    """Await an ending for so long, then leave it to itself: parts of Faust swallow a cancellation."""
    task = asyncio.ensure_future(ending)
    await asyncio.wait([task], timeout=limit_s)
    if not task.done():
        task.cancel()
        _say_cut_short()
    elif error := task.exception():
        logger.error("Stop failed: %s", describe_failure(error), extra={"action": "stop_failed"})


def _say_cut_short() -> None:
    logger.warning(
        "Not everything could be finished in time; it will be done again after the next start",
        extra={"action": "stop_cut_short"},
    )
