"""The process model: one process per stage, and the one that keeps them running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence

from postcall.errors import LogUnavailable, PostcallError
from postcall.generations import Generation, read_generation
from postcall.known_log.hold import Hold
from postcall.log_connection import LogConnection
from postcall.paused_stages import publish_pause
from postcall.service import Lifeline
from postcall.settings import Configuration, Settings, all_settings
from postcall.supervisor import Child, StateChange, Supervisor, postcall_command
from postcall.topics import GENERATION_STAGES, STAGE_INPUTS
from streams.memory_limit import limit_memory
from streams.quiet_libraries import quieten_libraries
from streams.slots import hold_slot, slot_directory
from streams.watchdog import Watchdog

logger = logging.getLogger(__name__)

_RETRY_PAUSE_S = 1.0
# What Faust's thread may need to end by itself.
_LEFTOVER_LIMIT_S = 0.5
# Just before a supervisor would kill.
_STOP_LIMIT_S = 9.5


async def run_stage_process(name: str, configuration: Configuration, lifeline: Lifeline, *, slot: int | None) -> None:
    """Be the process of one stage, until the lifeline says stop; the process ends soon after this returns.

    :param slot: the one that the parent holds; None = take one.
    :raises PostcallError: the stage cannot run, or its consumer failed.
    """
    if slot is not None:
        await _run_stage_in(slot, name, configuration, lifeline)
        return
    with hold_slot(configuration.read(Settings).data_dir, [name]) as taken:
        await _run_stage_in(taken, name, configuration, lifeline)


async def _run_stage_in(slot: int, name: str, configuration: Configuration, lifeline: Lifeline) -> None:
    from streams.run import run_stage  # noqa: PLC0415 - heavy: the supervising process has no Faust
    from streams.stages import build_stage  # noqa: PLC0415 - as above

    quieten_libraries()
    settings = configuration.read(Settings)
    directory = slot_directory(settings.data_dir, slot)
    stage_name = f"{name}-{slot}"

    def note_pause(reason: str | None) -> None:
        publish_pause(settings.data_dir, stage_name, reason)
        lifeline.paused(reason)

    limit_memory()
    beside = [asyncio.create_task(_guard_stop(lifeline)), asyncio.create_task(Watchdog().keep())]
    exit_code = 1
    try:
        generation = await _until_generation_known(name, settings.log, lifeline)
        if generation is None:
            exit_code = 0
            return
        await run_stage(
            build_stage(name, configuration, directory, generation=generation),
            log=settings.log,
            directory=directory,
            on_ready=lifeline.ready,
            stopping=lifeline.stopping,
            hold=Hold(stage_name, data_dir=settings.data_dir, on_held=lifeline.held),
            on_pause=note_pause,
        )
        exit_code = 0
    except PostcallError as error:
        exit_code = error.exit_code
        raise
    finally:
        for task in beside:
            task.cancel()
        publish_pause(settings.data_dir, stage_name, None)
        # All that is ours is closed; whatever Faust's thread still does is not waited for.
        _exit_after(_LEFTOVER_LIMIT_S, exit_code)


async def _until_generation_known(name: str, log: LogConnection, lifeline: Lifeline) -> Generation | None:
    """The generation that a stage works in, once the log says it; None = it is to stop before."""
    if name not in GENERATION_STAGES:
        return Generation()
    is_first = True
    while not lifeline.stopping.is_set():
        try:
            return await read_generation(log)
        except LogUnavailable as error:
            if is_first:
                logger.warning("Waiting for the log: %s", error, extra={"action": "log_awaited"})
            is_first = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lifeline.stopping.wait(), _RETRY_PAUSE_S)
    return None


async def _guard_stop(lifeline: Lifeline) -> None:
    """Faust joins its thread from within the event loop, which blocks all our own limits if that thread hangs."""
    await lifeline.stopping.wait()
    _exit_after(_STOP_LIMIT_S, 0)


def _exit_after(seconds: float, exit_code: int) -> None:
    """End the process then at the latest, as a kill would: what is not finished will be done again."""
    timer = threading.Timer(seconds, os._exit, args=(exit_code,))
    timer.daemon = True
    timer.start()


async def supervise_stages(configuration: Configuration, lifeline: Lifeline) -> None:
    """Run every stage as a child of this process, until the lifeline says stop.

    :raises UsageError: the port of the health is taken.
    :raises ChildFailed: a stage could not start; it has said why on its stderr.
    """
    settings = configuration.read(Settings)
    with hold_slot(settings.data_dir, STAGE_INPUTS) as slot:
        if settings.streams_port is None:
            await _supervise(slot, configuration, lifeline)
            return
        from streams.health import StagesHealth, serve_health  # noqa: PLC0415 - a web server, only where asked for

        health = StagesHealth(STAGE_INPUTS)
        address = (settings.private_host, settings.streams_port)
        async with serve_health(health, address, on_end=lifeline.stopping.set):
            await _supervise(slot, configuration, lifeline, on_change=health.note)


async def _supervise(
    slot: int,
    configuration: Configuration,
    lifeline: Lifeline,
    *,
    on_change: Callable[[StateChange], None] | None = None,
) -> None:
    """All are started, and all are stopped, at the same time: none waits for another, they meet only in the log."""
    environment = configuration.environment_for("streams", all_settings())
    word = _Word(lifeline)

    def note(change: StateChange) -> None:
        word.note(change)
        if on_change is not None:
            on_change(change)

    supervisors = {name: Supervisor(on_change=note) for name in STAGE_INPUTS}
    children = [
        Child(
            name=name,
            command=postcall_command("streams", "--stage", name, "--slot", str(slot)),
            environment=environment,
        )
        for name in supervisors
    ]
    starting = asyncio.create_task(_start_all(supervisors, children))
    stopping = asyncio.create_task(lifeline.stopping.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            word.give()
        await stopping
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        await asyncio.gather(*(supervisor.stop() for supervisor in supervisors.values()))


class _Word:
    """Tells this process's parent whether all stages run, or which of them are held or pause, and why."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._held: dict[str, str] = {}
        self._paused: dict[str, str] = {}
        self._is_given = False

    def give(self) -> None:
        """All stages have been started: say how it is, and from now on what becomes of it."""
        self._is_given = True
        if self._held:
            self._lifeline.held(_list(self._held))
            return
        self._lifeline.ready()
        self._lifeline.paused(_list(self._paused) if self._paused else None)

    def note(self, change: StateChange) -> None:
        """Hear of a stage's new state; one that is started again is held until it says otherwise."""
        before = (dict(self._held), dict(self._paused))
        if change.state == "held":
            self._held[change.name] = change.reason or ""
        elif change.state == "paused":
            self._paused[change.name] = change.reason or ""
        elif change.state == "ready":
            self._held.pop(change.name, None)
            self._paused.pop(change.name, None)
        if self._is_given and (self._held, self._paused) != before:
            self.give()


def _list(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


async def _start_all(supervisors: Mapping[str, Supervisor], children: Sequence[Child]) -> None:
    await asyncio.gather(*(supervisors[child.name].start(child) for child in children))
