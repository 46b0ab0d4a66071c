"""Making the warehouse again from the log's beginning, beside the one that serves meanwhile.

It becomes the serving one only when it has caught up; cut short, its file is left behind and the next attempt starts
over. The warehouse before it is kept until the next success.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from postcall.log_connection import LogConnection
from projections.checkpoints import least_far
from projections.files import make_serving, next_path, remove, remove_all_but, serving_path
from projections.projector import Projector
from projections.sql_files import PROJECTIONS
from projections.warehouse import Warehouse

_LOOK_INTERVAL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class RebuildProgress:
    """How far a rebuild is, in records; once done, `rows` counts the rows of each table.

    :param gone_records: were in the log once, and are not there any more: no table can be made from them.
    """

    records: int
    total_records: int
    file: str
    gone_records: int = 0
    is_done: bool = False
    rows: dict[str, int] = field(default_factory=dict)


async def rebuild_warehouse(
    data_dir: Path, log: LogConnection, *, reporting_timezone: str
) -> AsyncGenerator[RebuildProgress, None]:
    """Make the next warehouse, say how far it is every moment, and let it serve; the last progress is the done one.

    :raises PostcallError: the log cannot be read.
    """
    serving = serving_path(data_dir)
    successor = next_path(serving)
    remove(successor)
    projector = Projector(
        log, partial(Warehouse, successor, reporting_timezone=reporting_timezone), on_reading=lambda: None
    )
    records = gone = 0
    async with _running(projector) as running:
        while not running.done():
            status = await projector.read_status()
            if status.unread is not None:
                records = max(records, status.unread)
                gone = status.gone
                yield RebuildProgress(
                    records=records - status.unread, total_records=records, file=successor.name, gone_records=gone
                )
                if status.unread == 0:
                    break
            await asyncio.sleep(_LOOK_INTERVAL_S)
    done = await asyncio.to_thread(_take_stock, successor, gone, reporting_timezone)
    make_serving(successor)
    remove_all_but(serving, successor)
    yield done


@asynccontextmanager
async def _running(projector: Projector) -> AsyncIterator[asyncio.Task[None]]:
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


def _take_stock(path: Path, gone: int, reporting_timezone: str) -> RebuildProgress:
    warehouse = Warehouse(path, reporting_timezone=reporting_timezone)
    try:
        read = sum(position.next_offset for position in least_far(warehouse.checkpoints()).values())
        with warehouse.snapshot() as reader:
            # The names are our own files'.
            counts = [f"(SELECT count(*) FROM {name}) AS {name}" for name in PROJECTIONS]  # noqa: S608
            row = reader.execute(f"SELECT {', '.join(counts)}").fetchone() or ()
    finally:
        warehouse.close()
    return RebuildProgress(
        records=read - gone,
        total_records=read - gone,
        file=path.name,
        gone_records=gone,
        is_done=True,
        rows=dict(zip(PROJECTIONS, row, strict=True)),
    )
