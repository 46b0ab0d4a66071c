"""One performance of the vendor: post everything, wait for the recordings to be fetched, sum up."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from postcall.errors import UsageError
from postcall.service import open_listener
from postcall.simulator.posting import PostingProgress
from postcall.simulator.schedule import Expected, plan_schedule
from postcall.simulator.vendor import Vendor, api_url_of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one performance came to."""

    expected: Expected
    accepted: int
    refused: int
    recordings_served: int
    seconds: float


async def play_vendor(
    *,
    ingest_url: str,
    secret: str,
    api_key: str,
    calls: int,
    seed: int,
    rate_per_s: float | None,
    port: int,
    linger_s: float,
) -> Outcome:
    """Serve, post, and go on serving until each recording was fetched or `linger_s` are over.

    :raises UsageError: the secret is empty or the port is taken.
    :raises IngestUnreachable: nothing was accepted for a minute.
    """
    if not secret:
        raise UsageError("The webhook secret is empty: set LAYERCODE_WEBHOOK_SECRET to what the pipeline has.")
    started_at_s = time.monotonic()
    listener = open_listener("127.0.0.1", port)
    schedule = plan_schedule(calls, seed=seed, api_url=api_url_of(listener))
    async with Vendor(schedule, api_key=api_key, listener=listener) as vendor:
        _tell(f"The vendor's API listens on {vendor.api_url}")
        with _progress_bar() as on_progress:
            ledger = await vendor.post(ingest_url, secret=secret, rate_per_s=rate_per_s, on_progress=on_progress)
        if linger_s:
            _tell(f"Serving recordings until each was fetched, {linger_s:g} s at most")
            await vendor.wait_for_recordings(timeout_s=linger_s)
    return Outcome(
        expected=schedule.expected,
        accepted=len(ledger.accepted),
        refused=len(ledger.refused),
        recordings_served=len(vendor.sessions.recordings_served),
        seconds=round(time.monotonic() - started_at_s, 3),
    )


def print_summary(outcome: Outcome, *, as_json: bool) -> None:
    """The outcome on stdout, for people or as one JSON object."""
    facts = asdict(outcome)
    facts = {**facts.pop("expected"), **facts}
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    for name, value in facts.items():
        sys.stdout.write(f"{name.replace('_', ' '):24}{value}\n")


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[PostingProgress], None]]:
    columns = (TextColumn("Posting webhooks"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("post", total=None, note="")

        def show(progress: PostingProgress) -> None:
            note = f"{progress.retries} retries, {progress.refused} refused"
            bar.update(task, total=progress.total, completed=progress.accepted + progress.refused, note=note)

        yield show


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
