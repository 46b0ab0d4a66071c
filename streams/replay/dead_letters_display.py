"""What a person or a program sees of a replay of dead letters: the counts before, a bar meanwhile, what came of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.replay.dead_letters_retry import Fate
from streams.replay.dead_letters_run import OnProgress
from streams.replay.dead_letters_selection import OpenLetter, count_letters

COLUMNS: Final = ("stage", "class", "open")


def count_rows(letters: Sequence[OpenLetter]) -> Iterator[tuple[str, str, str]]:
    """How many letters are open, by stage and class."""
    for stage, error_class, count in count_letters(letters):
        yield stage, error_class, str(count)


def report_facts(letters: Sequence[OpenLetter], fates: Counter[Fate] | None) -> dict[str, Any]:
    """The counts, and what became of them; None = nothing was done."""
    counts = [
        {"stage": stage, "error_class": error_class, "open": count}
        for stage, error_class, count in count_letters(letters)
    ]
    done = {} if fates is None else {fate: fates[fate] for fate in get_args(Fate)}
    return {"dead_letters": counts, **done}


def report_lines(fates: Counter[Fate]) -> Iterator[str]:
    """What became of the letters, and what that asks of a person."""
    if fates["dismissed"]:
        yield f"{fates['dismissed']} dismissed."
        return
    yield (
        f"{fates['resolved']} resolved, {fates['failed_again']} failed again,"
        f" {fates['asked_again']} asked again, {fates['gone']} gone."
    )
    if fates["asked_again"]:
        yield "The stages do what was asked again as soon as they run, and close each letter once it is done."
    if fates["gone"]:
        yield "What is gone is not in the log any more; those letters stay open until --dismiss."
    if fates["unknown_stage"]:
        yield f"{fates['unknown_stage']} are of stages that this release does not have, and stay open."


@contextmanager
def shown(total: int) -> Iterator[OnProgress]:
    """A bar on stderr, where that is a terminal; yields what it wants to be told."""
    columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("letters", total=total)
        yield lambda completed: bar.update(task, completed=completed)
