"""One run of the demo, from an empty directory to the report."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from postcall.demo.directory import empty_directory
from postcall.demo.report import QUESTIONS, print_next_steps, print_report
from postcall.demo.settling import Counts, read_progress
from postcall.demo.view import DemoView
from postcall.errors import PostcallError
from postcall.pipeline import Pipeline, run_pipeline
from postcall.private_api import PrivateApi, QueryFailed
from postcall.service import Lifeline, open_listener
from postcall.settings import Configuration, all_settings
from postcall.simulator.schedule import plan_schedule
from postcall.simulator.vendor import Vendor, api_url_of

_POLL_INTERVAL_S = 0.4
_SETTLE_LIMIT_S = 600.0


class NotSettled(PostcallError):
    """The pipeline did not come to rest in time; the services' log lines are in logs/demo.log of the data directory."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the command line asked for."""

    calls: int
    seed: int
    data_dir: Path
    is_once: bool
    as_json: bool
    use_openai: bool


async def run_demo(options: DemoOptions, lifeline: Lifeline) -> None:
    """Run until settled (`--once`) or until stopped.

    :raises PostcallError: a service could not start, or the pipeline did not settle.
    """
    started_at_s = time.monotonic()
    empty_directory(options.data_dir)
    console = Console(stderr=True, highlight=False)
    listener = open_listener("127.0.0.1", 0)
    api_url = api_url_of(listener)
    schedule = plan_schedule(options.calls, seed=options.seed, api_url=api_url)
    api_key, secret = secrets.token_urlsafe(), secrets.token_urlsafe()
    configuration = demo_configuration(options, api_url=api_url, api_key=api_key, secret=secret)
    log_file = options.data_dir / "logs" / "demo.log"
    log_file.parent.mkdir()
    console.print(f"Starting the pipeline on {options.data_dir} (its log lines: {log_file})…")
    with log_file.open("ab") as output, DemoView(console, schedule.expected) as view:
        async with (
            Vendor(schedule, api_key=api_key, listener=listener) as vendor,
            run_pipeline(configuration, on_change=view.show_child, output=output) as pipeline,
            PrivateApi(pipeline.instance.private) as api,
        ):
            work = asyncio.create_task(_post_and_settle(vendor, secret, pipeline, api, view))
            stopped = asyncio.create_task(lifeline.stopping.wait())
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                return
            counts = work.result()
            seconds = time.monotonic() - started_at_s
            answers = [await api.rows(sql) for _, sql in QUESTIONS]
            view.__exit__()
            out = Console(stderr=options.as_json, highlight=False)
            print_report(out, counts, calls=options.calls, seconds=seconds, answers=answers)
            print_next_steps(out, options.data_dir, is_running=not options.is_once)
            if options.as_json:
                _print_json(options.calls, counts, seconds)
            if not options.is_once:
                await lifeline.stopping.wait()


#: What of the user's environment the demo goes by: tables of one's own can be tried on it.
_KEPT: Final = frozenset({"POSTCALL_PROJECTIONS_DIR"})


def demo_configuration(options: DemoOptions, *, api_url: str, api_key: str, secret: str) -> Configuration:
    """Settings of the demo: its own vendor, the user's tables, and no key of the user's unless asked for."""
    environment = dict(os.environ)
    for kind in all_settings():
        for row in Configuration().rows(kind):
            is_wanted = row.env in _KEPT or (options.use_openai and row.env.startswith("OPENAI_"))
            if not is_wanted:
                environment.pop(row.env, None)
    environment |= {
        "LAYERCODE_API_URL": api_url,
        "LAYERCODE_API_KEY": api_key,
        "LAYERCODE_WEBHOOK_SECRET": secret,
        "POSTCALL_ENV_FILE": "",
        "POSTCALL_CONFIG": os.devnull,
    }
    return Configuration.load(
        environment=environment,
        data_dir=options.data_dir.resolve(),
        host="127.0.0.1",
        port=0,
        private_port=0,
        broker_port=0,
    )


async def _post_and_settle(vendor: Vendor, secret: str, pipeline: Pipeline, api: PrivateApi, view: DemoView) -> Counts:
    posting = asyncio.create_task(
        vendor.post(
            f"{pipeline.instance.ingest}/webhooks/layercode/{{agent_id}}",
            secret=secret,
            on_progress=view.show_posting,
        )
    )
    try:
        return await _settle(posting, pipeline, api, view)
    finally:
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)


async def _settle(posting: asyncio.Task[Any], pipeline: Pipeline, api: PrivateApi, view: DemoView) -> Counts:
    deadline_s = time.monotonic() + _SETTLE_LIMIT_S
    was_settled = False
    while time.monotonic() < deadline_s:
        is_posted = posting.done()
        if is_posted:
            posting.result()
        try:
            progress = await read_progress(api, pipeline.log)
        except QueryFailed:
            # The projections service may just be restarting: the next look tells.
            was_settled = False
        else:
            view.show_progress(progress)
            # Twice in a row: between two looks a stage may have passed work on to the next one.
            if is_posted and progress.is_settled and was_settled:
                return progress.counts
            was_settled = is_posted and progress.is_settled
        await asyncio.sleep(_POLL_INTERVAL_S)
    raise NotSettled


def _print_json(calls: int, counts: Counts, seconds: float) -> None:
    summary = {
        "calls": calls,
        "webhooks": counts.webhooks,
        "sessions": counts.sessions,
        "transcripts": counts.transcripts,
        "recordings": counts.recordings,
        "insights": counts.insights,
        "dead_letters": counts.dead_letters,
        "seconds": round(seconds, 1),
    }
    print(json.dumps(summary), file=sys.stdout, flush=True)  # noqa: T201 - stdout is for data
