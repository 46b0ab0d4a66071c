"""Making the warehouse again from the log's beginning, beside the one that serves meanwhile.

The next file is first brought to exactly where the serving one was when it began, and its rows are counted against it;
it becomes the serving one when it has caught up. Cut short, its file is left behind and the next attempt starts over.
The warehouse before it is kept until the next success.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from postcall.crash_points import reach
from postcall.log_connection import LogConnection
from projections.checkpoints import Place
from projections.definitions import SHIPPED_ONLY, DefinitionsSource
from projections.errors import ProjectionError
from projections.files import make_serving, next_path, remove, remove_all_but, serving_path, size_bytes
from projections.projector import Projector
from projections.stock import Stock, take_stock
from projections.warehouse import Warehouse

_LOOK_INTERVAL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class RebuildProgress:
    """How far a rebuild is, in records; once done, `rows` counts the rows of each table.

    :param needed_bytes: of disk, at most, beside what there is.
    :param gone_records: were in the log once, and are not there any more: no table can be made from them.
    :param compared: tables whose rows were counted against those of the warehouse before, at the same offsets.
    :param changed: of these, the ones that have another number of rows: how many before, and now.
    :param stopped: of a user's projections that could not be made, why.
    """

    records: int
    total_records: int
    file: str
    needed_bytes: int = 0
    free_bytes: int = 0
    gone_records: int = 0
    is_done: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    compared: tuple[str, ...] = ()
    changed: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    stopped: Mapping[str, str] = field(default_factory=dict)


async def rebuild_warehouse(
    data_dir: Path,
    log: LogConnection,
    *,
    reporting_timezone: str,
    source: DefinitionsSource = SHIPPED_ONLY,
    count_serving: Callable[[], Stock | None] = lambda: None,
    accepts_fewer: bool = False,
) -> AsyncGenerator[RebuildProgress, None]:
    """Make the next warehouse, say how far it is every moment, and let it serve; the last progress is the done one.

    :param count_serving: counts the rows of the warehouse that serves; None = there is nothing to compare with.
    :raises ProjectionError: it does not fit on the disk, or it has fewer rows than the one before and that is not
        accepted.
    :raises PostcallError: the log cannot be read.
    """
    serving = serving_path(data_dir)
    successor = next_path(serving)
    remove(successor)
    progress = RebuildProgress(
        records=0, total_records=0, file=successor.name, needed_bytes=size_bytes(serving), free_bytes=_free(data_dir)
    )
    _check_space(progress)
    yield progress
    open_successor = partial(_open, successor, source, reporting_timezone)
    before = await asyncio.to_thread(count_serving)
    if before is not None:
        async for told in _read(log, open_successor, source, progress, limit=before.offsets):
            progress = told
            yield told
        progress = _compare(before, await asyncio.to_thread(_count, open_successor), progress)
        _check_rows(progress, accepts_fewer=accepts_fewer)
    async for told in _read(log, open_successor, source, progress):
        progress = told
        yield told
    stock = await asyncio.to_thread(_count, open_successor)
    read = sum(stock.offsets.values()) - progress.gone_records
    done = replace(progress, records=read, total_records=read, is_done=True, rows=stock.rows)
    reach("before_switch", who="projections")
    make_serving(successor)
    reach("after_switch", who="projections")
    remove_all_but(serving, successor)
    yield done


async def rebuild_projection(projector: Projector, name: str) -> AsyncGenerator[RebuildProgress, None]:
    """Make one projection again within the file that serves, and let it take the place of what it was.

    :param projector: at work.
    :raises ProjectionError: there is none of that name, it does not fit on the disk, or its statements fail.
    """
    warehouse = projector.warehouse
    if warehouse is None:
        raise ProjectionError("The warehouse is being opened. Try again in a moment.")
    known = warehouse.definitions.projections
    for refusal in warehouse.definitions.refusals:
        if Path(refusal.path).stem == name:
            raise refusal
    if name not in known:
        raise ProjectionError(f"There is no projection {name!r}; there are {', '.join(known)}.")
    path = Path(warehouse.path)
    progress = RebuildProgress(
        records=0, total_records=0, file=path.name, needed_bytes=size_bytes(path), free_bytes=_free(path.parent)
    )
    _check_space(progress)
    yield progress
    rows_before = (await asyncio.to_thread(take_stock, warehouse)).rows
    number = await projector.begin_build(name)
    while not projector.serves(name, number):
        await asyncio.sleep(_LOOK_INTERVAL_S)
        status = await projector.read_status()
        if name in status.stopped:
            raise ProjectionError(status.stopped[name])
        if name in status.catching_up:
            total = max(progress.total_records, status.catching_up[name])
            progress = replace(progress, records=total - status.catching_up[name], total_records=total)
            yield progress
    warehouse = projector.warehouse or warehouse
    stock = await asyncio.to_thread(take_stock, warehouse)
    rows, topics = stock.rows, warehouse.definitions.topics_of(name)
    read = sum(offset for (topic, _), offset in stock.offsets.items() if topic in topics)
    changed = {name: (rows_before[name], rows[name])} if rows_before.get(name) != rows[name] else {}
    yield replace(
        progress,
        records=read,
        total_records=read,
        is_done=True,
        rows={name: rows[name]},
        compared=(name,),
        changed=changed,
    )


@asynccontextmanager
async def projecting(projector: Projector) -> AsyncIterator[asyncio.Task[None]]:
    """Run a projector; on leaving, what it has fetched is applied and its warehouse is closed."""
    stopping = asyncio.Event()
    await projector.open()
    running = asyncio.create_task(projector.run(stopping))
    try:
        yield running
    finally:
        stopping.set()
        try:
            await running
        finally:
            await projector.close()


async def _read(
    log: LogConnection,
    open_successor: Callable[[], Warehouse],
    source: DefinitionsSource,
    progress: RebuildProgress,
    *,
    limit: Mapping[Place, int] | None = None,
) -> AsyncGenerator[RebuildProgress, None]:
    """Bring the successor to the limit, or to the log's end."""
    projector = Projector(log, open_successor, on_reading=lambda: None, source=source, limit=limit)
    before, unread_at_first = progress.records, None
    async with projecting(projector) as running:
        while not running.done():
            status = await projector.read_status()
            if status.unread is not None:
                unread_at_first = status.unread if unread_at_first is None else max(unread_at_first, status.unread)
                progress = replace(
                    progress,
                    records=before + unread_at_first - status.unread,
                    total_records=max(progress.total_records, before + unread_at_first),
                    gone_records=status.gone,
                    stopped=status.stopped,
                )
                yield progress
                if status.unread == 0 and not status.catching_up:
                    break
            await asyncio.sleep(_LOOK_INTERVAL_S)


def _open(path: Path, source: DefinitionsSource, reporting_timezone: str) -> Warehouse:
    return Warehouse(path, source.load(), reporting_timezone=reporting_timezone)


def _count(open_warehouse: Callable[[], Warehouse]) -> Stock:
    warehouse = open_warehouse()
    try:
        return take_stock(warehouse)
    finally:
        warehouse.close()


def _compare(before: Stock, now: Stock, progress: RebuildProgress) -> RebuildProgress:
    # Other statements, other rows: only what was made by the same ones must come out the same.
    compared = [
        name for name, print_before in before.fingerprints.items() if now.fingerprints.get(name) == print_before
    ]
    changed = {name: (before.rows[name], now.rows[name]) for name in compared if before.rows[name] != now.rows[name]}
    return replace(progress, compared=tuple(compared), changed=changed)


def _check_rows(progress: RebuildProgress, *, accepts_fewer: bool) -> None:
    fewer = [
        f"{name} {rows[0]} before and {rows[1]} now" for name, rows in progress.changed.items() if rows[0] > rows[1]
    ]
    if fewer and not accepts_fewer:
        raise ProjectionError(
            f"The log makes fewer rows than there are, at the same offsets: {'; '.join(fewer)}. "
            f"{progress.gone_records} records are not in the log any more. The tables serve as before; "
            f"--accept-fewer lets the new ones serve."
        )


def _check_space(progress: RebuildProgress) -> None:
    if progress.free_bytes < progress.needed_bytes:
        raise ProjectionError(
            f"A second warehouse beside the present one needs about {progress.needed_bytes / 1e6:.0f} MB of disk, and "
            f"{progress.free_bytes / 1e6:.0f} MB are free. Make room, then run it again."
        )


def _free(directory: Path) -> int:
    return shutil.disk_usage(directory).free
