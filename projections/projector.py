"""The projector: records from the log into the warehouse, batch by batch, for as long as the service runs.

Batches are what is there: a few records while all is live, many when the projector is behind. While one batch is
applied in the writer's thread the next is fetched and built, and the event loop stays free. Any failure of the
warehouse, a COMMIT that raised above all, ends in the same way: reopen it, read its checkpoints, go on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeVar

import duckdb

from postcall.errors import LogUnavailable
from postcall.known_log.acceptance import LOOK_INTERVAL_S
from postcall.known_log.hold import Hold, mismatch_of
from postcall.known_log.identity import LogIdentity
from postcall.known_log.watch import WATCH_INTERVAL_S, prove_read, watch_log
from postcall.log_connection import LogConnection
from projections.batch import Batch, build_batch
from projections.errors import WarehouseDamaged
from projections.log_reader import LogReader, look_at_log, open_reader
from projections.opening import open_successor, retire
from projections.warehouse import Warehouse

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: At most this many records are applied together; more makes no rebuild quicker, and takes memory.
MAX_BATCH_RECORDS: Final = 20_000
#: From here on a batch is worth building while the one before is still being applied.
_LARGE_BATCH_RECORDS: Final = 2_000
_FETCH_TIMEOUT_MS: Final = 500
#: While the writer is at work, the log is asked this often: each answer is a request of all partitions.
_GATHER_PAUSE_S: Final = 0.03
_RETRY_PAUSE_S: Final = 1.0

State = Literal["waiting for the log", "reading", "held"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectorStatus:
    """What the projector is at.

    :param unread: counts records that the log has and the warehouse has not; None while it does not read.
    :param gone: counts records that were in the log once, and are not there any more.
    :param reason: why it is held.
    """

    state: State
    unread: int | None = None
    gone: int = 0
    reason: str | None = None


class Projector:
    """Keeps the warehouse that `open_warehouse` opens in step with the log.

    :param on_reading: called each time the log has been opened.
    :param hold: holds the projector while the log is not the one that the warehouse was made from; None = it is raised.
    """

    def __init__(
        self,
        log: LogConnection,
        open_warehouse: Callable[[], Warehouse],
        *,
        on_reading: Callable[[], None],
        hold: Hold | None = None,
        watch_interval_s: float = WATCH_INTERVAL_S,
    ) -> None:
        self._log = log
        self._open_warehouse = open_warehouse
        self._on_reading = on_reading
        self._hold = hold
        self._watch_interval_s = watch_interval_s
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="warehouse-writer")
        self._warehouse: Warehouse | None = None
        self._reader: LogReader | None = None
        self._gone = 0
        self._is_replaced = False

    @property
    def warehouse(self) -> Warehouse | None:
        """The open warehouse; None for the moment in which it is opened again."""
        return self._warehouse

    async def open(self) -> None:
        """Open the warehouse, so that it can be read before the log is there."""
        self._warehouse = await self._in_writer(self._open_warehouse)

    def reopen(self) -> None:
        """Another warehouse serves now: finish the batch at hand, and go on with that one."""
        self._is_replaced = True

    async def read_status(self) -> ProjectorStatus:
        """What the projector is at."""
        if self._reader is not None:
            return ProjectorStatus(state="reading", unread=await self._reader.count_unread(), gone=self._gone)
        if self._hold is not None and self._hold.reason is not None:
            return ProjectorStatus(state="held", reason=self._hold.reason)
        return ProjectorStatus(state="waiting for the log")

    async def run(self, stopping: asyncio.Event) -> None:
        """Project until `stopping` is set.

        :raises LogMismatch: the log is not the one that the warehouse was made from, and nothing holds the projector.
        """
        has_complained = False
        while not stopping.is_set():
            try:
                await self._read_log(stopping)
            except LogUnavailable as error:
                if not has_complained:
                    logger.warning("Waiting for the log: %s", error, extra={"action": "log_missed"})
                has_complained = True
            except (duckdb.Error, WarehouseDamaged, OSError):
                logger.exception("Warehouse failed, opening it again", extra={"action": "warehouse_failed"})
                await self._reopen()
            else:
                has_complained = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._pause_s())

    def _pause_s(self) -> float:
        if self._is_replaced:
            return 0
        is_held = self._hold is not None and self._hold.reason is not None
        return LOOK_INTERVAL_S if is_held else _RETRY_PAUSE_S

    async def close(self) -> None:
        """Finish what is being applied, and close the warehouse."""
        if self._warehouse is not None:
            await self._in_writer(self._warehouse.close)
        self._writer.shutdown()

    async def _read_log(self, stopping: asyncio.Event) -> None:
        if self._warehouse is None:
            await self._reopen()
            return
        if self._is_replaced:
            await self._switch()
        log = await self._look(self._warehouse)
        if log is None:
            return
        warehouse = self._warehouse
        checkpoints = await self._in_writer(partial(warehouse.settle, log))
        async with open_reader(self._log, checkpoints) as reader:
            self._reader = reader
            logger.info("Reading the log", extra={"action": "log_opened", "unread": await reader.count_unread()})
            self._on_reading()
            note_read = partial(self._note_read, warehouse)
            watch = asyncio.create_task(
                watch_log(self._log, log, note_read=note_read, interval_s=self._watch_interval_s)
            )
            try:
                await self._follow(reader, warehouse, lambda: stopping.is_set() or self._is_replaced or watch.done())
                await prove_read(self._log, log, note_read=note_read)
            finally:
                self._reader = None
                watch.cancel()

    async def _note_read(self, warehouse: Warehouse) -> Callable[[], Awaitable[None]]:
        checkpoints = await self._in_writer(warehouse.checkpoints)

        async def prove() -> None:
            # Were it to fail, what was read would be less surely known, and that is all.
            with contextlib.suppress(duckdb.Error):
                await self._in_writer(partial(warehouse.prove, checkpoints))

        return prove

    async def _look(self, known: Warehouse) -> LogIdentity | None:
        """The log, if it may be read into the warehouse that is open now; None while it may not."""
        checkpoints = await self._in_writer(known.checkpoints)
        look = await look_at_log(self._log, checkpoints)
        if self._hold is None:
            # Of unequal partitions the tables come out the same.
            if grave := [finding for finding in look.findings if finding.kind != "unequal_partitions"]:
                raise mismatch_of(grave)
        elif not self._hold.passes(look.log, look.findings):
            return None
        if look.is_other_log:
            self._warehouse = await self._in_writer(partial(open_successor, known))
            await self._in_writer(partial(retire, known, self._warehouse))
        self._gone = look.gone
        if look.gone and (look.is_other_log or not checkpoints):
            logger.warning(
                "Log begins later than it once did; %d records are not there any more",
                look.gone,
                extra={"action": "records_gone", "count": look.gone},
            )
        return look.log

    async def _follow(self, reader: LogReader, warehouse: Warehouse, is_to_end: Callable[[], bool]) -> None:
        writing: asyncio.Task[None] | None = None
        try:
            while not is_to_end():
                records = await reader.fetch(max_records=MAX_BATCH_RECORDS, timeout_ms=_FETCH_TIMEOUT_MS)
                while writing is not None and not writing.done() and len(records) < _LARGE_BATCH_RECORDS:
                    # Small batches cost nearly as much as larger ones: what comes meanwhile shares a transaction.
                    await asyncio.wait([writing], timeout=_GATHER_PAUSE_S)
                    records += await reader.fetch(max_records=MAX_BATCH_RECORDS, timeout_ms=0)
                if writing is not None and writing.done():
                    # A write that failed is known now, not only when the next records come.
                    await writing
                    writing = None
                if not records:
                    continue
                batch = await asyncio.to_thread(build_batch, records)
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._write(warehouse, batch))
        finally:
            if writing is not None:
                await writing

    async def _write(self, warehouse: Warehouse, batch: Batch) -> None:
        """Apply a batch, and rest after a small one: so they take half of a core at most, however many come."""
        cpu_s = await self._in_writer(partial(_apply, warehouse, batch))
        if batch.table.num_rows < _LARGE_BATCH_RECORDS:
            await asyncio.sleep(cpu_s)

    async def _switch(self) -> None:
        """Open the warehouse that serves now before the one until now is closed, so that no query finds none."""
        self._is_replaced = False
        replaced = self._warehouse
        self._warehouse = await self._in_writer(self._open_warehouse)
        if replaced is not None:
            await self._in_writer(replaced.close)

    async def _reopen(self) -> None:
        broken, self._warehouse = self._warehouse, None
        if broken is not None:
            with contextlib.suppress(duckdb.Error):
                await self._in_writer(broken.close)
        try:
            self._warehouse = await self._in_writer(self._open_warehouse)
        except (duckdb.Error, WarehouseDamaged, OSError):
            logger.exception("Warehouse cannot be opened, trying again", extra={"action": "warehouse_failed"})

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)


def _apply(warehouse: Warehouse, batch: Batch) -> float:
    """Apply a batch; returns the CPU seconds it took, which waiting for the disk or for a busy machine are none of."""
    started_at, cpu_before_s = time.monotonic(), time.thread_time()
    warehouse.apply(batch)
    seconds, cpu_s = time.monotonic() - started_at, time.thread_time() - cpu_before_s
    facts = {"records": batch.table.num_rows, "seconds": round(seconds, 4), "cpu_seconds": round(cpu_s, 4)}
    logger.debug("Batch applied", extra={"action": "applied"} | facts)
    return cpu_s
