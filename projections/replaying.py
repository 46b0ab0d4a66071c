"""`postcall replay projections`: by the running pipeline where there is one, else here."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from postcall.embedded_log import started_log
from postcall.instance import hold_directory
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings
from projections.errors import ProjectionError, WarehouseMissing
from projections.files import hold_warehouse
from projections.rebuild import RebuildProgress, rebuild_warehouse
from projections.running import RunningService, find_service


def replay_and_report(configuration: Configuration, settings: Settings, *, as_json: bool) -> None:
    """Replay with a progress bar on stderr, and say what came of it.

    :raises PostcallError: there is no log to replay, or it cannot be read.
    """
    started_at_s = time.monotonic()
    try:
        done = asyncio.run(_follow(_replay(configuration, settings)))
    except KeyboardInterrupt:
        print("Stopped; the tables serve as before. Run it again to start over.", file=sys.stderr)  # noqa: T201
        raise SystemExit(130) from None
    seconds = round(time.monotonic() - started_at_s, 1)
    if as_json:
        facts = {
            "records": done.records,
            "gone_records": done.gone_records,
            "file": done.file,
            "rows": done.rows,
            "seconds": seconds,
        }
        sys.stdout.buffer.write(orjson.dumps(facts) + b"\n")
        return
    rows = ", ".join(f"{count} {name}" for name, count in done.rows.items())
    Console(highlight=False).print(f"{done.records} records read again in {seconds} s: {rows}.", soft_wrap=True)
    if done.gone_records:
        Console(highlight=False).print(
            f"The log does not have {done.gone_records} earlier records any more.", soft_wrap=True
        )
    Console(highlight=False).print(f"{done.file} serves now.")


def _replay(configuration: Configuration, settings: Settings) -> AsyncGenerator[RebuildProgress, None]:
    service = find_service(settings.data_dir)
    if service is not None:
        return _ask(service, settings.private_token)
    return _replay_here(configuration, settings)


async def _follow(replay: AsyncGenerator[RebuildProgress, None]) -> RebuildProgress:
    columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last: RebuildProgress | None = None
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("records", total=None)
        async for last in replay:
            bar.update(task, completed=last.records, total=last.total_records)
    if last is None or not last.is_done:
        raise ProjectionError("The replay ended before it was done; the tables serve as before.")
    return last


async def _ask(service: RunningService, token: str | None) -> AsyncGenerator[RebuildProgress, None]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            httpx.AsyncClient(base_url=service.private, headers=headers, timeout=None, trust_env=False) as client,  # noqa: S113 - as long as the log is
            client.stream("POST", "/v1/replays/projections") as response,
        ):
            if response.is_error:
                raise ProjectionError(orjson.loads(await response.aread())["error"]["message"])
            async for line in response.aiter_lines():
                told = orjson.loads(line)
                if "error" in told:
                    raise ProjectionError(told["error"])
                yield RebuildProgress(**told)
    except httpx.HTTPError as error:
        raise ProjectionError(f"The pipeline at {service.private} broke off: {error!r}.") from error


async def _replay_here(configuration: Configuration, settings: Settings) -> AsyncGenerator[RebuildProgress, None]:
    if settings.kafka is None and not (settings.data_dir / "log").exists():
        raise WarehouseMissing(f"There is no log in {settings.data_dir} to replay. `postcall up` starts one.")
    with hold_directory(settings.data_dir), hold_warehouse(settings.data_dir):
        async with (
            _log(configuration, settings) as log,
            aclosing(
                rebuild_warehouse(settings.data_dir, log, reporting_timezone=settings.reporting_timezone)
            ) as replay,
        ):
            async for progress in replay:
                yield progress


@asynccontextmanager
async def _log(configuration: Configuration, settings: Settings) -> AsyncIterator[LogConnection]:
    """The log, started for the time of the block where it is the embedded one."""
    if settings.kafka:
        yield settings.log
        return
    async with started_log(configuration) as log:
        yield log
