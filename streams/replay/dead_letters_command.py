"""`postcall replay dead-letters`: count, ask, then try again or dismiss, with a pipeline running or without."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import typer

from postcall.commands.printing import print_json, print_table
from postcall.embedded_log import reached_log
from postcall.errors import UsageError
from postcall.generations import read_generation
from postcall.settings import Configuration
from postcall.warehouse_queries import query_warehouse
from streams.replay.dead_letters_display import COLUMNS, count_rows, report_facts, report_lines, shown
from streams.replay.dead_letters_retry import Fate, Retrial
from streams.replay.dead_letters_run import OnProgress, dismiss_letters, retry_letters
from streams.replay.dead_letters_selection import OpenLetter, select_letters

_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayOptions:
    """What the command line asked for."""

    where: str | None
    stage: str | None
    is_dry_run: bool
    is_dismissal: bool
    is_confirmed: bool
    as_json: bool


def replay_dead_letters(configuration: Configuration, options: ReplayOptions) -> None:
    """Count the open dead letters, ask, and try them again.

    :raises PostcallError: the warehouse or the log cannot be used, or nobody can be asked.
    """
    ask = partial(query_warehouse, configuration=configuration)
    letters = select_letters(ask, where=options.where, stage=options.stage)
    if not letters:
        typer.echo("No dead letter of these is open.", err=True)
    elif not options.as_json:
        print_table(COLUMNS, count_rows(letters))
    fates = None
    if letters and not options.is_dry_run:
        if not options.is_confirmed:
            _confirm(len(letters), options)
        fates = _run(letters, configuration, options)
    if options.as_json:
        print_json(report_facts(letters, fates))
    elif fates is not None:
        for line in report_lines(fates):
            typer.echo(line)


def _confirm(count: int, options: ReplayOptions) -> None:
    if not sys.stdin.isatty():
        raise UsageError("Nobody can be asked here. Look at the counts with --dry-run, and then add --yes.")
    verb = "Dismiss" if options.is_dismissal else "Try again"
    typer.confirm(f"{verb} {count} dead letters?", abort=True, err=True)


def _run(letters: Sequence[OpenLetter], configuration: Configuration, options: ReplayOptions) -> Counter[Fate]:
    try:
        with shown(len(letters)) as on_progress:
            return asyncio.run(_replay(letters, configuration, options, on_progress))
    except KeyboardInterrupt:
        typer.echo("Stopped; what was done stays. Run it again to go on.", err=True)
        raise SystemExit(_INTERRUPTED) from None


async def _replay(
    letters: Sequence[OpenLetter], configuration: Configuration, options: ReplayOptions, on_progress: OnProgress
) -> Counter[Fate]:
    async with reached_log(configuration) as log:
        retrial = Retrial.of_today(configuration, generation=(await read_generation(log)).number)
        if options.is_dismissal:
            return await dismiss_letters(letters, log=log, on_progress=on_progress)
        return await retry_letters(letters, retrial, log=log, on_progress=on_progress)
