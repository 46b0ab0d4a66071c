"""What a person sees of a copy: a bar while it runs, then what was copied, and what to do next."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from postcall.log_copy.partitions import CopyProgress
from postcall.log_copy.run import CopyReport

_REFRESH_S: Final = 0.1
_SHA256_CHARACTERS: Final = 12
_WIDTH_WITHOUT_TERMINAL: Final = 160


@asynccontextmanager
async def shown(progress: CopyProgress) -> AsyncIterator[None]:
    """Show progress on stderr, where that is a terminal, while the block runs."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(progress.doing, total=None)

        async def follow() -> None:
            while True:
                bar.update(task, description=progress.doing, completed=progress.done, total=progress.total)
                await asyncio.sleep(_REFRESH_S)

        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


def report_facts(report: CopyReport, *, seconds: float) -> dict[str, Any]:
    """A run as one JSON object."""
    return {
        "verified": True,
        "topics": [asdict(topic) for topic in report.topics],
        "groups": list(report.groups),
        "left": report.left,
        "other_topics": list(report.other_topics),
        "differences": [str(difference) for difference in report.differences],
        "seconds": round(seconds, 1),
    }


def print_report(report: CopyReport, *, target: str, data_dir: Path | None, is_running: bool, seconds: float) -> None:
    """Print what was copied, and what to do next.

    :param data_dir: whose log was copied; None = it was named by its address.
    :param is_running: its pipeline runs, so that more records may come at any moment.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    console.print(_table(report))
    copied = sum(topic.copied for topic in report.topics)
    records = sum(topic.records for topic in report.topics)
    lines = [
        f"{copied} records copied in {seconds:.1f} s; all {records} were read back from {target} and verified.",
        f"Committed offsets of {len(report.groups)} consumer groups copied.",
        *(f"Differs from what is wanted: {difference}" for difference in report.differences),
    ]
    if report.other_topics:
        lines.append(f"Not copied, since they are not postcall's: {', '.join(report.other_topics)}")
    lines += ["", *_next_steps(report, target=target, data_dir=data_dir, is_running=is_running)]
    for line in lines:
        console.print(line, soft_wrap=True)


def _table(report: CopyReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("topic", "partitions", "records", "copied now", "bytes", "sha256"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("topic", "sha256") else "right")
    for topic in report.topics:
        numbers = (topic.partitions, topic.records, topic.copied, topic.content_bytes)
        table.add_row(topic.topic, *map(str, numbers), topic.sha256[:_SHA256_CHARACTERS])
    return table


def _next_steps(report: CopyReport, *, target: str, data_dir: Path | None, is_running: bool) -> Iterator[str]:
    directory = f" --data-dir {data_dir}" if data_dir else ""
    steps = [
        f"Set POSTCALL_KAFKA={target} for every service (environment, .env, or kafka in postcall.toml).",
        f"postcall log accept{directory}   (the same records, under another cluster id)",
        f"postcall up{directory}   (nothing is analyzed or downloaded again)",
    ]
    if is_running or report.left:
        steps = [
            "Stop the pipeline: no record may arrive any more.",
            "Run this command again: it copies the rest.",
            *steps,
        ]
        yield (
            f"The source has grown by {report.left} records since. Next:"
            if report.left
            else "The pipeline still runs on the source, so records may arrive at any moment. Next:"
        )
    else:
        yield "Next:"
    yield from (f"  {number}. {step}" for number, step in enumerate(steps, start=1))
