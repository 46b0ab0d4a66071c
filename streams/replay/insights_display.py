"""What a person sees of a replay of insights: the counts before, a bar meanwhile, and what came of it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.replay.insights_cost import Estimate
from streams.replay.insights_selection import Selected, Selection
from streams.replay.runs import Run, RunLedger

_REFRESH_S: Final = 0.2
_SILENCE_S: Final = 60.0


def count_lines(selection: Selection, found: Selected, estimate: Estimate) -> Iterator[str]:
    """How many analyses are missing, and how dear they may be."""
    analyzer = f"{selection.analyzer}@{selection.revision}"
    yield f"{len(found.work)} sessions have no result of {analyzer}."
    if found.failed:
        yield f"{found.failed} more failed, and are not tried again."
    if found.over_budget:
        yield f"{found.over_budget} more were skipped for the daily budget, and are not tried again."
    if found.work:
        cost = "a cost that is not known" if estimate.cost_usd is None else f"{_usd(estimate.cost_usd)} USD"
        yield (
            f"With {estimate.model} at most about {cost}: {estimate.tokens_in} tokens in and {estimate.tokens_out} out,"
            " estimated. The local rules, which answer where streams has no key, cost nothing."
        )


def count_facts(selection: Selection, found: Selected, estimate: Estimate) -> dict[str, Any]:
    """The same for programs."""
    return {
        "selection": selection.describe(),
        "sessions": len(found.work),
        "failed_before": found.failed,
        "over_budget_before": found.over_budget,
        "model": estimate.model,
        "tokens_in_estimated": estimate.tokens_in,
        "tokens_out_estimated": estimate.tokens_out,
        "cost_usd_estimated": None if estimate.cost_usd is None else float(estimate.cost_usd),
    }


def result_lines(run: Run, ledger: RunLedger, reason: str | None, *, resume: str) -> Iterator[str]:
    """What came of a run, or of a part of it."""
    fates = ", ".join(f"{count} {fate}" for fate, count in sorted(ledger.fates.items())) or "none"
    spent = f"Spent: {_usd(ledger.spent_usd)} USD."
    yield f"{ledger.concluded} of {ledger.total} sessions have their outcome: {fates}. {spent}"
    if ledger.fates["set aside"]:
        yield "What was set aside is in the table dead_letters, with the reason."
    if reason is not None:
        yield f"Run {run.id} is paused ({reason}). To go on: {resume}"
    elif absent := ledger.total - ledger.concluded:
        yield f"{absent} sessions were not found among the events: their record is not complete, or not kept any more."


def result_facts(run: Run, ledger: RunLedger, reason: str | None) -> dict[str, Any]:
    """The same for programs."""
    return {
        "run_id": str(run.id),
        "state": "finished" if reason is None else "paused",
        "reason": reason,
        "sessions": ledger.total,
        "concluded": ledger.concluded,
        **{fate.replace(" ", "_"): ledger.fates[fate] for fate in ("done", "skipped", "failed", "set aside")},
        "spent_usd": float(ledger.spent_usd),
    }


@asynccontextmanager
async def shown(ledger: RunLedger) -> AsyncIterator[None]:
    """Show on stderr how far a run is, where that is a terminal, and say anywhere when nothing comes of it."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("Analyzing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[spent]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("analyses", total=ledger.total, spent="")
        showing = asyncio.create_task(_show(bar, task, ledger))
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def _show(bar: Progress, task: Any, ledger: RunLedger) -> None:
    concluded, since_s = -1, time.monotonic()
    while True:
        bar.update(task, completed=ledger.concluded, spent=f"{_usd(ledger.spent_usd)} USD")
        if ledger.concluded != concluded:
            concluded, since_s = ledger.concluded, time.monotonic()
        elif ledger.waiting and time.monotonic() - since_s > _SILENCE_S:
            bar.console.print(
                f"Nothing has come back for {_SILENCE_S:.0f} s; `postcall status` tells what the stage insights does."
            )
            since_s = float("inf")
        await asyncio.sleep(_REFRESH_S)


def _usd(amount: Decimal) -> str:
    return f"{amount:.4f}" if amount < 1 else f"{amount:.2f}"
