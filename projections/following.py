"""Following the log: batch after batch, while one is applied the next is fetched and built.

Batches are what is there: a few records while all is live, many when the reader is behind.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from projections.batch import Batch, build_batch
from projections.builds import Build
from projections.errors import ProjectionStopped
from projections.log_reader import LogReader
from projections.warehouse import Warehouse

logger = logging.getLogger(__name__)

#: At most this many records are applied together; more makes no rebuild quicker, and takes memory.
MAX_BATCH_RECORDS: Final = 20_000
#: From here on a batch is worth building while the one before is still being applied.
LARGE_BATCH_RECORDS: Final = 2_000
_FETCH_TIMEOUT_MS: Final = 500
#: While the writer is at work, the log is asked this often: each answer is a request of all partitions.
_GATHER_PAUSE_S: Final = 0.03


async def follow(
    reader: LogReader,
    write: Callable[[Batch], Awaitable[None]],
    is_to_end: Callable[[], bool],
    *,
    max_records: int = MAX_BATCH_RECORDS,
    until_caught_up: bool = False,
) -> bool:
    """Hand batches to `write`, one after the other, until it is to end; then all that was handed over is written.

    :returns: whether it ended because there was nothing left to read, which it does only if asked to.
    """
    writing: asyncio.Task[None] | None = None
    try:
        while not is_to_end():
            records = await reader.fetch(max_records=max_records, timeout_ms=_FETCH_TIMEOUT_MS)
            while writing is not None and not writing.done() and len(records) < LARGE_BATCH_RECORDS:
                # Small batches cost nearly as much as larger ones: what comes meanwhile shares a transaction.
                await asyncio.wait([writing], timeout=_GATHER_PAUSE_S)
                records += await reader.fetch(max_records=max_records, timeout_ms=0)
            if writing is not None and writing.done():
                # A write that failed is known now, not only when the next records come.
                await writing
                writing = None
            if not records:
                if until_caught_up and writing is None and await reader.count_unread() == 0:
                    return True
                continue
            batch = await asyncio.to_thread(build_batch, records)
            if writing is not None:
                await writing
            writing = asyncio.ensure_future(write(batch))
        return False
    finally:
        if writing is not None:
            await writing


def apply_and_time(
    warehouse: Warehouse, batch: Batch, builds: Collection[Build]
) -> tuple[list[ProjectionStopped], float]:
    """Apply a batch; returns what stopped, and the CPU seconds it took: waiting for disk or machine is none of them."""
    started_at, cpu_before_s = time.monotonic(), time.thread_time()
    stopped = warehouse.apply(batch, builds)
    seconds, cpu_s = time.monotonic() - started_at, time.thread_time() - cpu_before_s
    facts = {"records": batch.table.num_rows, "seconds": round(seconds, 4), "cpu_seconds": round(cpu_s, 4)}
    logger.debug("Batch applied", extra={"action": "applied"} | facts)
    return stopped, cpu_s
