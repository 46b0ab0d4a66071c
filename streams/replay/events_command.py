"""`postcall replay events`: derive beside the live generation, compare, ask, and switch or leave."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import typer

from postcall.commands.printing import print_json
from postcall.embedded_log import reached_log
from postcall.errors import UsageError
from postcall.file_locks import LockTaken, take_lock
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings
from streams.replay.events_attempt import Attempt, derive_and_compare, leave, promote
from streams.replay.events_display import comparison_facts, comparison_lines, shown
from streams.replay.insights_run import say

_INTERRUPTED: Final = 130
_DELETED: Final = "Stopped; what was derived is deleted. Run it again to start over."
_IN_THE_SWITCH: Final = "Stopped at the switch; `postcall status` tells which events are read. Run it again to be sure."
_LOCK_FILE: Final = "replay-events.lock"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayOptions:
    """What the command line asked for."""

    is_dry_run: bool
    is_confirmed: bool
    as_json: bool


def replay_events(configuration: Configuration, options: ReplayOptions) -> None:
    """Derive and compare, ask, and switch or leave.

    :raises PostcallError: the log, the disk or the settings cannot be used, or nobody can be asked.
    """
    if not options.is_confirmed and not options.is_dry_run and not sys.stdin.isatty():
        raise UsageError("Nobody can be asked here. Look at the differences with --dry-run, and then add --yes.")
    with _alone(configuration.read(Settings)):
        attempt = _run(configuration, lambda log: derive_and_compare(log, configuration, shown))
        say(comparison_lines(attempt), is_aside=options.as_json)
        if _is_wanted(attempt, configuration, options):
            switch = partial(promote, attempt, settings=configuration.read(Settings), show=shown)
            file = _run(configuration, switch, interrupted=_IN_THE_SWITCH)
            say(_promoted_lines(attempt, file), is_aside=options.as_json)
            facts = comparison_facts(attempt, "promoted") | {"file": file}
        else:
            _run(configuration, lambda log: leave(attempt, log))
            say([f"Left: generation {attempt.live.number} stays live, and what was derived is deleted."], is_aside=True)
            facts = comparison_facts(attempt, "left")
    if options.as_json:
        print_json(facts)


def _is_wanted(attempt: Attempt, configuration: Configuration, options: ReplayOptions) -> bool:
    if options.is_dry_run or options.is_confirmed:
        return not options.is_dry_run
    try:
        return typer.confirm(f"Let generation {attempt.number} be the live one?", err=True)
    except typer.Abort:
        _run(configuration, lambda log: leave(attempt, log))
        raise SystemExit(_INTERRUPTED) from None


def _promoted_lines(attempt: Attempt, file: str | None) -> Iterator[str]:
    yield f"Generation {attempt.number} is live: the stages and the tables go over to it within seconds."
    if file is not None:
        yield f"{file} serves from now on."
    else:
        yield "No warehouse is kept here; projections make theirs again from the log."


def _run(
    configuration: Configuration, work: Callable[[LogConnection], Awaitable[T]], *, interrupted: str = _DELETED
) -> T:
    async def main() -> T:
        async with reached_log(configuration) as log:
            return await work(log)

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        typer.echo(interrupted, err=True)
        raise SystemExit(_INTERRUPTED) from None


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Two attempts at the same generation would write into each other's topic."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = take_lock(settings.data_dir / _LOCK_FILE)
    except LockTaken as taken:
        raise UsageError(f"Another `postcall replay events` runs on {settings.data_dir}: {taken.holder}.") from None
    with lock:
        yield
