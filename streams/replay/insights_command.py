"""`postcall replay insights`: check what was asked for, count, and ask before anything is begun."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Final
from uuid import UUID

import typer

from postcall.commands.printing import print_json
from postcall.errors import UsageError
from postcall.instance import find_instance, find_log
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings
from postcall.warehouse_queries import query_warehouse
from streams.analyzers import ANALYZERS, Analyzer
from streams.analyzers.prices import find_price
from streams.replay.insights_cost import Estimate, estimate_cost
from streams.replay.insights_display import count_facts, count_lines
from streams.replay.insights_run import ReplayOptions, resume_and_drive, say, start_and_drive
from streams.replay.insights_selection import Selected, Selection, select_sessions

_INTERRUPTED: Final = 130


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
    say(count_lines(selection, found, estimate), is_aside=options.as_json)
    if is_counted_only:
        if options.as_json:
            print_json(count_facts(selection, found, estimate))
        return
    log = _find_log(settings)
    if not options.is_confirmed:
        _confirm(len(found.work))
    _run(start_and_drive(selection, found, estimate, log=log, settings=settings, options=options))


def resume_replay(run_id: UUID, configuration: Configuration, options: ReplayOptions) -> None:
    """Go on with a run, from what the log says of it.

    :raises PostcallError: there is no such run, it has finished, or the log cannot be used.
    """
    settings = configuration.read(Settings)
    _check_budget(options.budget_usd, settings)
    _run(resume_and_drive(run_id, log=_find_log(settings), settings=settings, options=options))


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
    if not budget_usd.is_finite() or budget_usd <= 0:
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


def _run(main: Coroutine[None, None, None]) -> None:
    try:
        asyncio.run(main)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
