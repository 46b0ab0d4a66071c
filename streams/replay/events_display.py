"""What a person or a program sees of a replay of events: bars meanwhile, and in what the generations differ.

Session ids are shown, so that a person can look; never what was said, and no number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from postcall.generation_warehouses import TableDifference
from streams.replay.events_attempt import Attempt, MissingInsights
from streams.replay.insights_display import count_lines


@contextmanager
def shown(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; yields what it wants to be told."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("records", total=None)
        yield lambda completed, total: bar.update(task, completed=completed, total=total)


def comparison_lines(attempt: Attempt) -> Iterator[str]:
    """In what the next generation differs from the live one."""
    done = attempt.rederivation
    yield (
        f"Generation {attempt.number}: {done.events} events of {done.deliveries} deliveries,"
        f" where generation {attempt.live.number} has {attempt.events_before}."
    )
    if done.letters:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(done.reasons.items()))
        yield f"{done.reasons.total()} of them cannot be read ({reasons}): dead letters, with the switch."
    for difference in attempt.differences:
        yield from _difference_lines(difference)
    if attempt.sessions_left_out:
        yield f"{attempt.sessions_left_out} sessions that went on meanwhile are not compared."
    for missing in attempt.missing_insights:
        yield from _missing_lines(missing)


def comparison_facts(attempt: Attempt, state: str) -> dict[str, Any]:
    """The same for programs, and what became of it."""
    done = attempt.rederivation
    return {
        "generation": attempt.number,
        "live_before": attempt.live.number,
        "state": state,
        "deliveries": done.deliveries,
        "events": done.events,
        "events_before": attempt.events_before,
        "dead_letters": dict(done.reasons),
        "tables": [_difference_facts(difference) for difference in attempt.differences],
        "sessions_left_out": attempt.sessions_left_out,
        "missing_insights": [
            {"analyzer": f"{each.selection.analyzer}@{each.selection.revision}", "sessions": len(each.found.work)}
            for each in attempt.missing_insights
        ],
    }


def _difference_lines(difference: TableDifference) -> Iterator[str]:
    if difference.is_equal:
        yield f"{difference.table}: {difference.rows_after} rows, all equal."
        return
    yield (
        f"{difference.table}: {difference.rows_before} rows before and {difference.rows_after} after;"
        f" {difference.only_before} only before, {difference.only_after} only after, {difference.changed} changed."
    )
    if difference.columns:
        yield f"  columns: {', '.join(f'{name} in {count}' for name, count in difference.columns.items())}"
    if difference.examples:
        yield f"  sessions: {', '.join(map(_printable, difference.examples))}"


def _difference_facts(difference: TableDifference) -> dict[str, Any]:
    return {
        "table": difference.table,
        "rows_before": difference.rows_before,
        "rows_after": difference.rows_after,
        "only_before": difference.only_before,
        "only_after": difference.only_after,
        "changed": difference.changed,
        "columns": difference.columns,
        "examples": list(difference.examples),
    }


def _missing_lines(missing: MissingInsights) -> Iterator[str]:
    yield from count_lines(missing.selection, missing.found, missing.estimate)
    yield f"After the switch they can be analyzed: {missing.command}"


def _printable(text: str) -> str:
    # Ids are the vendor's: nothing of them may steer the terminal.
    return "".join(character if character.isprintable() else " " for character in text[:100])
