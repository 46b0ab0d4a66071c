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
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

import duckdb

from postcall.errors import LogUnavailable
from postcall.known_log.acceptance import LOOK_INTERVAL_S
from postcall.known_log.hold import Hold, mismatch_of
from postcall.known_log.identity import LogIdentity
from postcall.known_log.watch import WATCH_INTERVAL_S, prove_read, watch_log
from postcall.log_connection import LogConnection
from projections.batch import Batch
from projections.builds import Build, of_builds, split_by_place
from projections.checkpoints import Checkpoint, Place
from projections.definitions import SHIPPED_ONLY, DefinitionsSource
from projections.errors import BrokenSqlFile, ProjectionStopped, QueriesBusy, WarehouseDamaged, WarehouseHeld
from projections.following import LARGE_BATCH_RECORDS, apply_and_time, follow
from projections.log_reader import LogReader, look_at_log, open_reader
from projections.opening import open_successor, quarantine, retire
from projections.reading import is_damage
from projections.warehouse import Warehouse

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Of what is made beside the tables that live rows go into, so that these need not wait long for the writer.
_BESIDE_BATCH_RECORDS: Final = 5_000
#: Reading goes on within this time after it ended for a change; a writer that hangs is told.
_BETWEEN_S: Final = 10.0
#: How often the user's folder is looked at.
_STAMP_INTERVAL_S: Final = 1.0
_RETRY_PAUSE_S: Final = 1.0

State = Literal["waiting for the log", "reading", "held"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectorStatus:
    """What the projector is at.

    :param unread: counts records that the log has and the warehouse has not; None while that is not known.
    :param gone: counts records that were in the log once, and are not there any more.
    :param reason: why it is held.
    :param catching_up: of the projections that are being made, how many records they have not read.
    :param stopped: of a user's files that are not used or have failed, why, by name.
    """

    state: State
    unread: int | None = None
    gone: int = 0
    reason: str | None = None
    catching_up: dict[str, int] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)


class Projector:
    """Keeps the warehouse that `open_warehouse` opens in step with the log.

    :param on_reading: called each time the log has been opened.
    :param on_stopped: told of the user's files that are not used or have failed: why, by name.
    :param source: of the definitions that `open_warehouse` uses; a change of its files is taken up at once.
    :param limit: the offsets up to which it reads, by partition; None = as far as the log goes.
    :param hold: holds the projector while the log is not the one that the warehouse was made from; None = it is raised.
    """

    def __init__(
        self,
        log: LogConnection,
        open_warehouse: Callable[[], Warehouse],
        *,
        on_reading: Callable[[], None],
        hold: Hold | None = None,
        on_stopped: Callable[[Mapping[str, str]], None] = lambda _: None,
        source: DefinitionsSource = SHIPPED_ONLY,
        limit: Mapping[Place, int] | None = None,
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
        #: What is said of another process that has the warehouse open.
        self._holder: str | None = None
        self._is_replaced = False
        self._is_to_regroup = False
        #: Until when having no reader is but changing from one to the next.
        self._between_until = 0.0
        self._on_stopped = on_stopped
        self._source = source
        self._limit = limit
        self._stamp: object = None
        self._next_stamp_at = 0.0
        #: Of a user's projections whose statements failed: which statements, and why.
        self._stopped: dict[str, tuple[str, str]] = {}
        self._catching_up: dict[str, LogReader] = {}

    @property
    def warehouse(self) -> Warehouse | None:
        """The open warehouse; None for the moment in which it is opened again."""
        return self._warehouse

    async def open(self) -> None:
        """Open the warehouse, so that it can be read before the log is there."""
        self._warehouse = await self._in_writer(self._open_warehouse)

    async def open_or_wait(self) -> None:
        """Open the warehouse, or let `run` do so once no other process has it open."""
        try:
            await self.open()
        except WarehouseHeld as error:
            self._note_holder(error)

    async def begin_build(self, projection: str) -> int:
        """Make a projection from the log's beginning, beside its present tables, and let it then take their place.

        :returns: the number of its build.

        :raises QueriesBusy: the warehouse is being opened.
        :raises BrokenSqlFile: the statements of its file do not work.
        """
        if self._warehouse is None:
            raise QueriesBusy("The warehouse is being opened. Try again in a moment.")
        self._stopped.pop(projection, None)
        build = await self._in_writer(partial(self._warehouse.begin_build, projection))
        self._is_to_regroup = True
        return build.number

    def serves(self, projection: str, number: int) -> bool:
        """Whether this build of a projection is the one that people see."""
        builds = self._warehouse.builds if self._warehouse is not None else ()
        return any(build.key == (projection, number) and build.is_serving for build in builds)

    def reopen(self) -> None:
        """Another warehouse serves now: finish the batch at hand, and go on with that one."""
        self._is_replaced = True

    async def read_status(self) -> ProjectorStatus:
        """What the projector is at."""
        if self._reader is not None:
            return ProjectorStatus(
                state="reading",
                unread=await self._reader.count_unread(),
                gone=self._gone,
                catching_up={name: await reader.count_unread() for name, reader in self._catching_up.items()},
                stopped=self._reasons(),
            )
        if self._hold is not None and self._hold.reason is not None:
            return ProjectorStatus(state="held", reason=self._hold.reason)
        if self._holder is not None:
            return ProjectorStatus(state="held", reason=self._holder)
        if time.monotonic() < self._between_until:
            return ProjectorStatus(state="reading", gone=self._gone)
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
                self._between_until = 0.0
                if not has_complained:
                    logger.warning("Waiting for the log: %s", error, extra={"action": "log_missed"})
                has_complained = True
            except (duckdb.Error, BrokenSqlFile, WarehouseDamaged, OSError) as error:
                if isinstance(error, BrokenSqlFile) and not is_damage(error):
                    raise
                logger.exception("Warehouse failed, opening it again", extra={"action": "warehouse_failed"})
                if self._warehouse is not None and self._warehouse.crashed is not None:
                    self._stop(self._warehouse, self._warehouse.crashed)
                await self._reopen(error if is_damage(error) else None)
            else:
                has_complained = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._pause_s())

    def _reasons(self) -> dict[str, str]:
        """Why some of a user's files have no rows, or no new ones, by name."""
        if self._warehouse is None:
            return {}
        definitions = self._warehouse.definitions
        failed = {
            name: reason
            for name, (fingerprint, reason) in self._stopped.items()
            if definitions.fingerprints.get(name) == fingerprint
        }
        return failed | {Path(refusal.path).stem: str(refusal) for refusal in definitions.refusals}

    def _pause_s(self) -> float:
        if self._is_replaced or self._is_to_regroup or self._have_files_changed():
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
        await self._adopt(self._warehouse)
        log = await self._look(self._warehouse)
        if log is None:
            return
        warehouse, self._is_to_regroup = self._warehouse, False
        checkpoints = await self._in_writer(partial(warehouse.settle, log))
        note_read = partial(self._note_read, warehouse)
        watch = asyncio.create_task(watch_log(self._log, log, note_read=note_read, interval_s=self._watch_interval_s))
        watch.add_done_callback(lambda _: ending.set())
        ending = asyncio.Event()

        def is_to_end() -> bool:
            is_changing = self._is_replaced or self._is_to_regroup or self._have_files_changed()
            return stopping.is_set() or ending.is_set() or is_changing

        try:
            await self._follow(warehouse, checkpoints, is_to_end, ending)
            await prove_read(self._log, log, note_read=note_read)
            self._between_until = time.monotonic() + _BETWEEN_S
        finally:
            watch.cancel()

    async def _follow(
        self,
        warehouse: Warehouse,
        checkpoints: Sequence[Checkpoint],
        is_to_end: Callable[[], bool],
        ending: asyncio.Event,
    ) -> None:
        """Follow the log with what is at its front and, apart from that, with what has to catch up."""
        live, behind = split_by_place(self._going(warehouse), checkpoints)
        if not behind:
            await self._stay_live(warehouse, live, checkpoints, is_to_end)
            return
        catching_up = asyncio.create_task(self._catch_up(warehouse, behind, checkpoints, is_to_end))
        catching_up.add_done_callback(lambda _: ending.set())
        try:
            await self._stay_live(warehouse, live, checkpoints, is_to_end)
        finally:
            ending.set()
            await catching_up

    async def _stay_live(
        self,
        warehouse: Warehouse,
        builds: Collection[Build],
        checkpoints: Sequence[Checkpoint],
        is_to_end: Callable[[], bool],
    ) -> None:
        """Keep builds in step with the log, for as long as nothing is to change."""
        async with open_reader(self._log, of_builds(builds, checkpoints), limit=self._limit) as reader:
            self._reader, self._between_until = reader, 0.0
            logger.info("Reading the log", extra={"action": "log_opened", "unread": await reader.count_unread()})
            self._on_reading()
            try:
                await follow(reader, partial(self._write, warehouse, builds), is_to_end)
            finally:
                self._reader = None

    async def _catch_up(
        self,
        warehouse: Warehouse,
        builds: Collection[Build],
        checkpoints: Sequence[Checkpoint],
        is_to_end: Callable[[], bool],
    ) -> None:
        """Bring builds to where the others are; then those that were made beside another take its place."""
        names = sorted(build.projection for build in builds)
        logger.info("Projections are made from the log", extra={"action": "build_started", "projections": names})
        async with open_reader(self._log, of_builds(builds, checkpoints), limit=self._limit) as reader:
            self._catching_up = dict.fromkeys(names, reader)
            try:
                has_caught_up = await follow(
                    reader,
                    partial(self._write, warehouse, builds),
                    is_to_end,
                    max_records=_BESIDE_BATCH_RECORDS,
                    until_caught_up=True,
                )
            finally:
                self._catching_up = {}
        if not has_caught_up:
            return
        for build in self._going(warehouse) & frozenset(builds):
            if not build.is_serving:
                try:
                    await self._in_writer(partial(warehouse.serve, build))
                except BrokenSqlFile as error:
                    self._stop(warehouse, ProjectionStopped(build.projection, error))
        logger.info("Projections have caught up", extra={"action": "build_finished", "projections": names})

    async def _write(self, warehouse: Warehouse, builds: Collection[Build], batch: Batch) -> None:
        """Apply a batch, and rest after a small one: so they take half of a core at most, however many come."""
        going = self._going(warehouse) & frozenset(builds)
        stopped, cpu_s = await self._in_writer(partial(apply_and_time, warehouse, batch, going))
        for each in stopped:
            self._stop(warehouse, each)
        if batch.table.num_rows < LARGE_BATCH_RECORDS:
            await asyncio.sleep(cpu_s)

    def _stop(self, warehouse: Warehouse, stopped: ProjectionStopped) -> None:
        fingerprint = warehouse.definitions.fingerprints[stopped.projection]
        self._stopped[stopped.projection] = (fingerprint, str(stopped))
        logger.error(
            "Projection is stopped until its file changes: %s",
            stopped,
            extra={"action": "projection_stopped", "projection": stopped.projection},
        )
        self._on_stopped(self._reasons())

    def _going(self, warehouse: Warehouse) -> frozenset[Build]:
        """The builds that are kept in step: all but a user's whose statements failed and have not changed since."""
        fingerprints = {name: fingerprint for name, (fingerprint, _) in self._stopped.items()}
        return frozenset(build for build in warehouse.builds if fingerprints.get(build.projection) != build.fingerprint)

    async def _adopt(self, warehouse: Warehouse) -> None:
        """Let the warehouse be made of the files as they are now."""
        stamp = self._source.stamp()
        if stamp == self._stamp:
            return
        definitions = await asyncio.to_thread(self._source.load)
        await self._in_writer(partial(warehouse.adopt, definitions))
        self._stamp = stamp
        for refusal in warehouse.definitions.refusals:
            logger.error("File is not used: %s", refusal, extra={"action": "file_refused", "file": refusal.path})
        self._on_stopped(self._reasons())

    def _have_files_changed(self) -> bool:
        now = time.monotonic()
        if now < self._next_stamp_at:
            return False
        self._next_stamp_at = now + _STAMP_INTERVAL_S
        return self._source.stamp() != self._stamp

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
        look = await look_at_log(self._log, checkpoints, known.definitions.topics)
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

    async def _switch(self) -> None:
        """Open the warehouse that serves now before the one until now is closed, so that no query finds none."""
        self._is_replaced, self._stamp = False, None
        replaced = self._warehouse
        self._warehouse = await self._in_writer(self._open_warehouse)
        if replaced is not None:
            await self._in_writer(replaced.close)

    async def _reopen(self, damage: Exception | None = None) -> None:
        """Open the warehouse again; one that was found to be damaged is set aside first."""
        broken, self._warehouse, self._stamp = self._warehouse, None, None
        if broken is not None:
            with contextlib.suppress(duckdb.Error):
                await self._in_writer(broken.close)
            if damage is not None and isinstance(broken.path, Path):
                await self._in_writer(partial(quarantine, broken.path, damage))
        try:
            self._warehouse = await self._in_writer(self._open_warehouse)
            self._holder = None
        except WarehouseHeld as error:
            self._note_holder(error)
        except (duckdb.Error, WarehouseDamaged, OSError):
            logger.exception("Warehouse cannot be opened, trying again", extra={"action": "warehouse_failed"})

    def _note_holder(self, error: WarehouseHeld) -> None:
        if self._holder is None:
            logger.warning("Waiting for the warehouse: %s", error, extra={"action": "warehouse_missed"})
        self._holder = str(error)

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)
