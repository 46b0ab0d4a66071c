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

from postcall.log_copy.partitions import CopyProgress
from postcall.log_copy.run import CopyReport

_REFRESH_S: Final = 0.1
_SHA256_CHARACTERS: Final = 12


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


def topic_rows(report: CopyReport) -> Iterator[tuple[str, ...]]:
    """A run as a table: topic, partitions, records, copied now, bytes, sha256."""
    for topic in report.topics:
        numbers = (topic.partitions, topic.records, topic.copied, topic.content_bytes)
        yield topic.topic, *map(str, numbers), topic.sha256[:_SHA256_CHARACTERS]


def report_lines(
    report: CopyReport, *, target: str, data_dir: Path | None, is_running: bool, seconds: float
) -> Iterator[str]:
    """What was copied, and what to do next.

    :param data_dir: whose log was copied; None = it was named by its address.
    :param is_running: its pipeline runs, so that more records may come at any moment.
    """
    copied = sum(topic.copied for topic in report.topics)
    records = sum(topic.records for topic in report.topics)
    yield f"{copied} records copied in {seconds:.1f} s; all {records} were read back from {target} and verified."
    yield f"Committed offsets of {len(report.groups)} consumer groups copied."
    yield from (f"Differs from what is wanted: {difference}" for difference in report.differences)
    if report.other_topics:
        yield f"Not copied, since they are not postcall's: {', '.join(report.other_topics)}."
    yield ""
    if report.left:
        yield f"The source has grown by {report.left} records since."
    elif is_running:
        yield "The pipeline still runs on the source, so records may arrive at any moment."
    yield "Next:"
    steps = _next_steps(target, data_dir, is_final=not (is_running or report.left))
    yield from (f"  {number}. {step}" for number, step in enumerate(steps, start=1))


def _next_steps(target: str, data_dir: Path | None, *, is_final: bool) -> Iterator[str]:
    directory = f" --data-dir {data_dir}" if data_dir else ""
    if not is_final:
        yield "Stop the pipeline, so that no record arrives any more."
        yield "Run this command again: it copies the rest."
    yield f"Set POSTCALL_KAFKA={target}, in the environment or .env of every service."
    yield f"postcall up{directory}"
    yield f"postcall log accept{directory}   (beside it: its readers wait until you say that the records are the same)"
