"""`postcall replay insights`: count, ask, then drive a run to its end, or to where it is paused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import UUID

import typer
from uuid_utils.compat import uuid7

from postcall.commands.printing import print_json
from postcall.decisions import ReplayFinished, ReplayPaused, ReplayStarted
from postcall.errors import LogUnavailable, UsageError
from postcall.instance import find_instance, find_log
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings
from postcall.stage_groups import read_stage_groups
from postcall.topics import ANALYSIS_BACKFILL, EVENTS, INSIGHTS
from postcall.warehouse_queries import query_warehouse
from streams.analyzers import ANALYZERS, Analyzer
from streams.analyzers.prices import find_price
from streams.appender import Appender
from streams.replay.insights_cost import Estimate, estimate_cost
from streams.replay.insights_display import count_facts, count_lines, result_facts, result_lines, shown
from streams.replay.insights_driver import InsightsDriver
from streams.replay.insights_selection import Selected, Selection, select_sessions
from streams.replay.runs import Run, cut
from streams.replay.runs_decisions import PART_SIZE, append_decisions, find_run, start_run
from streams.replay.runs_reading import read_ends

_STAGE = "insights"
_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayOptions:
    """What the command line asked for."""

    is_dry_run: bool
    is_confirmed: bool
    budget_usd: Decimal | None
    as_json: bool
    #: As it was given, to be repeated in what is said about resuming.
    data_dir: Path | None


def choose_selection(analyzer: str, *, since: date | None, until: date | None, session_id: str | None) -> Selection:
    """A selection of an analyzer that this release has, written as NAME or NAME@REVISION.

    :raises UsageError: there is no such analyzer; says which there are.
    """
    name, _, revision = analyzer.partition("@")
    found = [each for each in ANALYZERS if each.name == name and revision in ("", str(each.revision))]
    if not found:
        known = ", ".join(f"{each.name}@{each.revision}" for each in ANALYZERS)
        raise UsageError(f"There is no analyzer {analyzer}; there are: {known}.")
    newest = max(each.revision for each in found)
    return Selection(analyzer=name, revision=newest, since=since, until=until, session_id=session_id)


def start_replay(selection: Selection, configuration: Configuration, options: ReplayOptions) -> None:
    """Count what is missing, ask, and drive a new run.

    :raises PostcallError: the warehouse or the log cannot be used, or nobody can be asked.
    """
    settings = configuration.read(Settings)
    _check_budget(options.budget_usd, settings)
    ask = partial(query_warehouse, configuration=configuration)
    found = select_sessions(selection, ask, reporting_timezone=settings.reporting_timezone)
    estimate = _estimate(selection, found, settings)
    is_counted_only = options.is_dry_run or not found.work
    _say(count_lines(selection, found, estimate), is_aside=options.as_json)
    if is_counted_only:
        if options.as_json:
            print_json(count_facts(selection, found, estimate))
        return
    log = _find_log(settings)
    if not options.is_confirmed:
        _confirm(len(found.work))
    _run(_start(selection, found, estimate, log, settings, options))


def resume_replay(run_id: UUID, configuration: Configuration, options: ReplayOptions) -> None:
    """Go on with a run, from what the log says of it.

    :raises PostcallError: there is no such run, it has finished, or the log cannot be used.
    """
    settings = configuration.read(Settings)
    _check_budget(options.budget_usd, settings)
    _run(_resume(run_id, _find_log(settings), settings, options))


async def _start(
    selection: Selection,
    found: Selected,
    estimate: Estimate,
    log: LogConnection,
    settings: Settings,
    options: ReplayOptions,
) -> None:
    # Later than what the warehouse has read: each record that it spoke of lies before.
    ends = await read_ends(log, [EVENTS, ANALYSIS_BACKFILL, INSIGHTS])
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
    appender = Appender(log)
    try:
        run = await start_run(appender, started, found.work)
        await _drive(run, appender, log, settings, options)
    finally:
        await appender.close()


async def _resume(run_id: UUID, log: LogConnection, settings: Settings, options: ReplayOptions) -> None:
    run = await find_run(log, run_id)
    if run.is_finished:
        raise UsageError(f"Run {run_id} has finished.")
    appender = Appender(log)
    try:
        await _drive(run, appender, log, settings, options)
    finally:
        await appender.close()


async def _drive(run: Run, appender: Appender, log: LogConnection, settings: Settings, options: ReplayOptions) -> None:
    budget_usd = options.budget_usd if options.budget_usd is not None else run.started.budget_usd
    driver = InsightsDriver(run, log=log, window=2 * settings.analysis_concurrency, budget_usd=budget_usd)
    resume = _resuming(run, options)
    _say([f"Run {run.id}; should this be interrupted: {resume}"], is_aside=True)
    await _warn_if_nobody_works(log)
    try:
        async with shown(driver.ledger):
            reason = await driver.drive(appender)
    except asyncio.CancelledError:
        await _pause(driver, appender, "stopped by hand")
        _say(result_lines(run, driver.ledger, "stopped by hand", resume=resume), is_aside=True)
        raise
    except LogUnavailable as error:
        raise LogUnavailable(f"{error} To go on: {resume}") from error
    if reason is None:
        await _finish(driver, appender)
    else:
        await _pause(driver, appender, reason)
    _say(result_lines(run, driver.ledger, reason, resume=resume), is_aside=options.as_json)
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
        _say([f"No `postcall streams` works at {_STAGE} now; what is asked for waits in the log."], is_aside=True)


def _estimate(selection: Selection, found: Selected, settings: Settings) -> Estimate:
    return estimate_cost(
        sessions=len(found.work),
        turns=found.turns,
        text_bytes=found.text_bytes,
        analyzer=_find_analyzer(selection),
        model=settings.openai_model,
    )


def _find_analyzer(selection: Selection) -> Analyzer:
    return next(each for each in ANALYZERS if (each.name, each.revision) == (selection.analyzer, selection.revision))


def _check_budget(budget_usd: Decimal | None, settings: Settings) -> None:
    if budget_usd is None:
        return
    if budget_usd <= 0:
        raise UsageError("--budget-usd is an amount above zero.")
    if find_price(settings.openai_model) is None:
        raise UsageError(
            f"The price of {settings.openai_model} is not known, so nothing would ever stop at --budget-usd."
            " Add it to streams/analyzers/prices.toml."
        )


def _find_log(settings: Settings) -> LogConnection:
    if settings.kafka is None and find_instance(settings.data_dir) is None:
        raise UsageError(f"No pipeline runs on {settings.data_dir}, and its stages do the work. Start `postcall up`.")
    return find_log(settings)


def _confirm(sessions: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError("Nobody can be asked here. Look at what it would cost, and then add --yes.")
    typer.confirm(f"Analyze {sessions} sessions?", abort=True, err=True)


def _resuming(run: Run, options: ReplayOptions) -> str:
    directory = f" --data-dir {options.data_dir}" if options.data_dir else ""
    return f"postcall replay insights --resume {run.id}{directory}"


def _say(lines: Iterable[str], *, is_aside: bool) -> None:
    for line in lines:
        typer.echo(line, err=is_aside)


def _run(main: Coroutine[None, None, None]) -> None:
    try:
        asyncio.run(main)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
