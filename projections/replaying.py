"""`postcall replay projections`: by the running pipeline where there is one, else here."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from postcall.embedded_log import started_log
from postcall.generations import read_generation, remember_generation
from postcall.instance import hold_directory
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings
from projections.api.replays import ReplayRequest
from projections.definitions import DefinitionsSource
from projections.errors import ProjectionError, WarehouseMissing
from projections.files import hold_warehouse
from projections.opening import open_serving
from projections.projector import Projector
from projections.reading import open_read_only
from projections.rebuild import RebuildProgress, projecting, rebuild_projection, rebuild_warehouse
from projections.running import RunningService, find_service
from projections.settings import WarehouseSettings
from projections.stock import Stock, take_stock


def replay_and_report(configuration: Configuration, wish: ReplayRequest, *, as_json: bool) -> None:
    """Replay with a progress bar on stderr, and say what came of it.

    :raises PostcallError: there is no log to replay, or it cannot be read.
    """
    started_at_s = time.monotonic()
    try:
        done = asyncio.run(_follow(_replay(configuration, wish)))
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
            "compared": done.compared,
            "changed": done.changed,
            "stopped": done.stopped,
            "seconds": seconds,
        }
        sys.stdout.buffer.write(orjson.dumps(facts) + b"\n")
        return
    _print_report(done, wish, seconds, Console(highlight=False, markup=False, soft_wrap=True))


def _print_report(done: RebuildProgress, wish: ReplayRequest, seconds: float, console: Console) -> None:
    rows = ", ".join(f"{count} {name}" for name, count in done.rows.items())
    console.print(f"{done.records} records read again in {seconds} s: {rows}.")
    for name, (before, now) in done.changed.items():
        console.print(f"{name} had {before} rows before, and has {now} now.")
    if done.gone_records:
        console.print(f"The log does not have {done.gone_records} earlier records any more.")
    for reason in done.stopped.values():
        console.print(f"Not made: {reason}")
    console.print("Its new rows serve now." if wish.only is not None else f"{done.file} serves now.")


def _replay(configuration: Configuration, wish: ReplayRequest) -> AsyncGenerator[RebuildProgress, None]:
    settings = configuration.read(Settings)
    service = find_service(settings.data_dir)
    if service is not None:
        return _ask(service, settings.private_token, wish)
    return _replay_here(configuration, settings, wish)


async def _follow(replay: AsyncGenerator[RebuildProgress, None]) -> RebuildProgress:
    columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last: RebuildProgress | None = None
    has_said = False
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("records", total=None)
        async for last in replay:
            if not has_said:
                bar.console.print(_say_space(last), soft_wrap=True)
                has_said = True
            bar.update(task, completed=last.records, total=last.total_records or None)
    if last is None or not last.is_done:
        raise ProjectionError("The replay ended before it was done; the tables serve as before.")
    return last


def _say_space(progress: RebuildProgress) -> str:
    return f"Needs about {progress.needed_bytes / 1e6:.0f} MB of disk; {progress.free_bytes / 1e6:.0f} MB are free."


async def _ask(
    service: RunningService, token: str | None, wish: ReplayRequest
) -> AsyncGenerator[RebuildProgress, None]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            httpx.AsyncClient(base_url=service.private, headers=headers, timeout=None, trust_env=False) as client,  # noqa: S113 - as long as the log is
            client.stream("POST", "/v1/replays/projections", json=wish.model_dump()) as response,
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


async def _replay_here(
    configuration: Configuration, settings: Settings, wish: ReplayRequest
) -> AsyncGenerator[RebuildProgress, None]:
    if settings.kafka is None and not (settings.data_dir / "log").exists():
        raise WarehouseMissing(f"There is no log in {settings.data_dir} to replay. `postcall up` starts one.")
    own_files = configuration.read(WarehouseSettings).projections_dir
    timezone = settings.reporting_timezone
    with hold_directory(settings.data_dir), hold_warehouse(settings.data_dir):
        async with _log(configuration, settings) as log:
            generation = (await read_generation(log)).number
            remember_generation(settings.data_dir, generation)
            source = DefinitionsSource(folder=own_files, generation=generation)
            if wish.only is not None:
                async for progress in _replay_one(settings, log, source, wish.only):
                    yield progress
                return
            replay = rebuild_warehouse(
                settings.data_dir,
                log,
                reporting_timezone=timezone,
                source=source,
                count_serving=partial(_count_serving, settings.data_dir),
                accepts_fewer=wish.accepts_fewer,
            )
            async with aclosing(replay):
                async for progress in replay:
                    yield progress


async def _replay_one(
    settings: Settings, log: LogConnection, source: DefinitionsSource, name: str
) -> AsyncGenerator[RebuildProgress, None]:
    open_warehouse = partial(
        open_serving, settings.data_dir, reporting_timezone=settings.reporting_timezone, source=source
    )
    projector = Projector(log, open_warehouse, on_reading=lambda: None, source=source)
    async with projecting(projector):
        async for progress in rebuild_projection(projector, name):
            yield progress


def _count_serving(data_dir: Path) -> Stock | None:
    try:
        warehouse = open_read_only(data_dir)
    except ProjectionError:
        # None, damaged, or of another release: there is nothing to count against.
        return None
    try:
        return take_stock(warehouse)
    finally:
        warehouse.close()


@asynccontextmanager
async def _log(configuration: Configuration, settings: Settings) -> AsyncIterator[LogConnection]:
    """The log, started for the time of the block where it is the embedded one."""
    if settings.kafka:
        yield settings.log
        return
    async with started_log(configuration) as log:
        yield log
