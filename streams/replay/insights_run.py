"""A run in this process: from the decision that it starts, or goes on, to the one that it pauses or has finished."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

import typer
from uuid_utils.compat import uuid7

from postcall.commands.printing import print_json
from postcall.decisions import ReplayFinished, ReplayPaused, ReplayStarted
from postcall.errors import LogUnavailable, UsageError
from postcall.generations import read_generation
from postcall.log_connection import LogConnection
from postcall.settings import Settings
from postcall.stage_groups import read_stage_groups
from postcall.topics import ANALYSIS_BACKFILL, INSIGHTS
from streams.appender import Appender
from streams.replay.insights_cost import Estimate
from streams.replay.insights_display import result_facts, result_lines, shown
from streams.replay.insights_driver import InsightsDriver
from streams.replay.insights_selection import Selected, Selection
from streams.replay.runs import Run, cut
from streams.replay.runs_decisions import PART_SIZE, append_decisions, find_run, start_run
from streams.replay.runs_reading import read_ends

_STAGE: Final = "insights"
_BY_HAND: Final = "stopped by hand"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayOptions:
    """What the command line asked for."""

    is_dry_run: bool
    is_confirmed: bool
    budget_usd: Decimal | None
    as_json: bool
    #: Where the log is, as flags, to be repeated in what is said about resuming.
    whereabouts: tuple[str, ...] = ()


async def start_and_drive(
    selection: Selection,
    found: Selected,
    estimate: Estimate,
    *,
    log: LogConnection,
    settings: Settings,
    options: ReplayOptions,
) -> None:
    """Write a new run down, and drive it.

    :raises LogUnavailable: the log does not answer, or stopped answering.
    """
    # Later than what the warehouse has read: each record that it spoke of lies before.
    events = (await read_generation(log)).topic
    ends = await read_ends(log, [events, ANALYSIS_BACKFILL, INSIGHTS])
    started = ReplayStarted(
        run_id=UUID(str(uuid7())),
        stage=_STAGE,
        selection=selection.describe(),
        requests=len(found.work),
        parts=len(cut(found.work, PART_SIZE)),
        cost_usd=estimate.cost_usd,
        budget_usd=options.budget_usd,
        ends=ends,
    )
    async with _appender(log) as appender:
        run = await start_run(appender, started, found.work)
        await _drive(run, appender, log, settings, options)


async def resume_and_drive(run_id: UUID, *, log: LogConnection, settings: Settings, options: ReplayOptions) -> None:
    """Drive a run that the log knows.

    :raises UsageError: it does not, or the run has finished.
    :raises LogUnavailable: the log does not answer, or stopped answering.
    """
    run = await find_run(log, run_id)
    if run.is_finished:
        raise UsageError(f"Run {run_id} has finished.")
    async with _appender(log) as appender:
        await _drive(run, appender, log, settings, options)


@asynccontextmanager
async def _appender(log: LogConnection) -> AsyncIterator[Appender]:
    appender = Appender(log)
    try:
        yield appender
    finally:
        await appender.close()


async def _drive(run: Run, appender: Appender, log: LogConnection, settings: Settings, options: ReplayOptions) -> None:
    budget_usd = options.budget_usd if options.budget_usd is not None else run.started.budget_usd
    driver = InsightsDriver(run, log=log, window=2 * settings.analysis_concurrency, budget_usd=budget_usd)
    resume = _resuming(run, options)
    say([f"Run {run.id}; should this be interrupted: {resume}"], is_aside=True)
    await _warn_if_nobody_works(log)
    try:
        async with shown(driver.ledger):
            reason = await driver.drive(appender)
    except asyncio.CancelledError:
        await _pause(driver, appender, _BY_HAND)
        say(result_lines(run, driver.ledger, _BY_HAND, resume=resume), is_aside=True)
        raise
    except LogUnavailable as error:
        raise LogUnavailable(f"{error} To go on: {resume}") from error
    if reason is None:
        await _finish(driver, appender)
    else:
        await _pause(driver, appender, reason)
    say(result_lines(run, driver.ledger, reason, resume=resume), is_aside=options.as_json)
    if options.as_json:
        print_json(result_facts(run, driver.ledger, reason))


async def _pause(driver: InsightsDriver, appender: Appender, reason: str) -> None:
    paused = ReplayPaused(
        run_id=driver.run.id,
        reason=reason,
        pause=driver.run.pauses + 1,
        concluded=driver.ledger.concluded,
        spent_usd=driver.ledger.spent_usd,
    )
    await append_decisions(appender, [paused])


async def _finish(driver: InsightsDriver, appender: Appender) -> None:
    ledger = driver.ledger
    finished = ReplayFinished(
        run_id=driver.run.id,
        requests=ledger.concluded,
        absent=ledger.total - ledger.concluded,
        spent_usd=ledger.spent_usd,
    )
    await append_decisions(appender, [finished])


async def _warn_if_nobody_works(log: LogConnection) -> None:
    groups = {group.stage: group for group in await read_stage_groups(log)}
    if not groups[_STAGE].members:
        say([f"No `postcall streams` works at {_STAGE} now; what is asked for waits in the log."], is_aside=True)


def _resuming(run: Run, options: ReplayOptions) -> str:
    return shlex.join(("postcall", "replay", "insights", "--resume", str(run.id), *options.whereabouts))


def say(lines: Iterable[str], *, is_aside: bool) -> None:
    """Print lines: on stdout, or aside of what is data there."""
    for line in lines:
        typer.echo(line, err=is_aside)
