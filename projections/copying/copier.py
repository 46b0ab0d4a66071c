"""When a copy is made: once something changed, at most every interval, and for a twentieth of the time at most."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from postcall.crash_points import reach
from projections.copying.contents import Contents, Place, ReadPlace, read_contents, read_mark, read_places
from projections.copying.errors import CopyFailed, CopyStopped, WarehouseBehind
from projections.copying.making import CopyFacts, DiskWatch, LeftOut, write_copy
from projections.copying.placing import COPY_FILE, draft_of, put_in_place, remove_left_behind
from projections.documentation import describe_all
from projections.errors import WarehouseReplaced
from projections.reading import WarehouseReader

logger = logging.getLogger(__name__)

#: Copying may take one part of so many of the time.
_SHARE: Final = 20
#: How often the warehouse is looked at for changes.
_LOOK_INTERVAL_S: Final = 5.0
_NICENESS: Final = 10
#: What a copy leaves free on the disk, which the log and the warehouse need more.
SPARE_BYTES: Final = 256_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """A copy that is there; `seconds` is what making it took, nothing where the one that was there is still true."""

    path: Path
    copied_at: datetime
    bytes: int
    seconds: float
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Present:
    """What the copy that is there says of itself."""

    facts: CopyFacts
    left_out: tuple[str, ...]
    places: dict[Place, ReadPlace]


class Copier:
    """Keeps `analytics.duckdb` of a data directory in step with the warehouse that `find_warehouse` gives.

    The caller holds the warehouse of the directory. Each copy is made in a thread, from one snapshot.

    :param interval_s: 0 = only when asked.
    :param own_files: a folder of SQL files, whose words the copy carries too; it need not be there.
    """

    def __init__(
        self,
        find_warehouse: Callable[[], WarehouseReader | None],
        data_dir: Path,
        *,
        interval_s: float,
        reporting_timezone: str,
        own_files: Path | None = None,
        spare_bytes: int = SPARE_BYTES,
    ) -> None:
        self._find_warehouse = find_warehouse
        self.path = data_dir / COPY_FILE
        self._interval_s = interval_s
        self._reporting_timezone = reporting_timezone
        self._own_files = own_files
        self._disk = DiskWatch(data_dir, spare_bytes=spare_bytes)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="warehouse-copier", initializer=_step_back)
        self._stopping = threading.Event()
        self._reader: duckdb.DuckDBPyConnection | None = None
        self._has_copied = False
        self._complaint: str | None = None
        self._known: tuple[tuple[int, int, int], _Present | None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Copy while the block runs; a copy that is being made at its end is given up."""
        await asyncio.to_thread(remove_left_behind, self.path)
        copying = asyncio.create_task(self._keep_copying())
        try:
            yield
        finally:
            self._stop()
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
            await asyncio.to_thread(self._worker.shutdown)

    async def copy_now(self) -> Copy:
        """Make a copy of what the warehouse holds now; where the one that is there is still true, that is it.

        :raises CopyFailed: there is no new one; says why.
        """
        copy = await self._in_worker(self._copy)
        if copy is None:
            raise CopyFailed("There is nothing to copy yet.")
        return copy

    def _stop(self) -> None:
        self._stopping.set()
        reader = self._reader
        if reader is not None:
            with contextlib.suppress(duckdb.Error):
                reader.interrupt()

    async def _keep_copying(self) -> None:
        while self._interval_s > 0:
            pause_s = await self._copy_if_changed()
            await asyncio.sleep(pause_s)

    async def _copy_if_changed(self) -> float:
        """Copy if anything was read and has changed; returns after how many seconds to look again."""
        started_at_s = time.monotonic()
        try:
            copy = await self._in_worker(partial(self._copy, needs_rows=True))
        except CopyStopped:
            return _LOOK_INTERVAL_S
        except CopyFailed as error:
            self._complain(error)
            return self._interval_s
        if self._complaint is not None:
            logger.info("Warehouse is copied again", extra={"action": "copy_resumed"})
            self._complaint = None
        if copy is None or copy.seconds == 0:
            return min(_LOOK_INTERVAL_S, self._interval_s)
        return pause_after(time.monotonic() - started_at_s, interval_s=self._interval_s)

    async def _in_worker(self, work: Callable[[], Copy | None]) -> Copy | None:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _complain(self, error: CopyFailed) -> None:
        is_new = error.code != self._complaint
        self._complaint = error.code
        level = logging.WARNING if is_new else logging.DEBUG
        logger.log(level, "Warehouse was not copied: %s", error, extra={"action": "copy_failed", "code": error.code})

    def _copy(self, *, needs_rows: bool = False) -> Copy | None:
        self._check()
        warehouse = self._find_warehouse()
        if warehouse is None:
            raise CopyFailed("The warehouse is being opened. Try again in a moment.")
        present = self._read_present()
        try:
            with warehouse.snapshot() as reader, self._interruptible(reader):
                return self._copy_snapshot(reader, present, needs_rows=needs_rows)
        except WarehouseReplaced as error:
            raise CopyFailed("The warehouse was replaced just now. Try again.") from error
        except duckdb.InterruptException as error:
            raise CopyStopped from error
        except (duckdb.Error, OSError) as error:
            raise CopyFailed(f"The copy could not be made: {str(error).partition(chr(10))[0]}") from error

    def _read_present(self) -> _Present | None:
        """What the copy says that is there, read once as long as it is the same file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, _read_facts(self.path))
        return self._known[1]

    def _copy_snapshot(
        self, reader: duckdb.DuckDBPyConnection, present: _Present | None, *, needs_rows: bool
    ) -> Copy | None:
        facts = CopyFacts(
            copied_at=datetime.now(UTC), reporting_timezone=self._reporting_timezone, mark=read_mark(reader)
        )
        if present is not None and present.facts.mark == facts.mark:
            return Copy(
                path=self.path,
                copied_at=present.facts.copied_at,
                bytes=self.path.stat().st_size,
                seconds=0,
                left_out=present.left_out,
            )
        contents = read_contents(reader)
        if needs_rows and not contents.has_read:
            return None
        if present is not None and contents.is_behind(present.places):
            raise WarehouseBehind
        return self._make(reader, contents, facts)

    def _make(self, reader: duckdb.DuckDBPyConnection, contents: Contents, facts: CopyFacts) -> Copy:
        started_at_s = time.monotonic()
        self._disk.check(needed_bytes=self.path.stat().st_size if self.path.exists() else 0)
        with draft_of(self.path) as draft:
            left_out = write_copy(
                reader, draft, contents, facts, words=describe_all(self._own_files), check=self._check
            )
            size = draft.stat().st_size
            reach("before_copy_is_placed", who="projections")
            put_in_place(draft, self.path)
            reach("after_copy_is_placed", who="projections")
        seconds = round(time.monotonic() - started_at_s, 3)
        copy = Copy(
            path=self.path,
            copied_at=facts.copied_at,
            bytes=size,
            seconds=seconds,
            left_out=tuple(each.name for each in left_out),
        )
        self._tell(copy, left_out)
        return copy

    def _tell(self, copy: Copy, left_out: Sequence[LeftOut]) -> None:
        level = logging.DEBUG if self._has_copied else logging.INFO
        self._has_copied = True
        told = {"action": "copied", "seconds": copy.seconds, "bytes": copy.bytes}
        logger.log(level, "Warehouse is copied to %s", copy.path.name, extra=told)
        for each in left_out:
            logger.warning(
                "%s is not in the copy: its rows cannot be read (%s)",
                each.name,
                each.kind,
                extra={"action": "left_out", "table": each.name},
            )

    def _check(self) -> None:
        if self._stopping.is_set():
            raise CopyStopped
        self._disk.check()

    @contextlib.contextmanager
    def _interruptible(self, reader: duckdb.DuckDBPyConnection) -> Iterator[None]:
        self._reader = reader
        try:
            self._check()
            yield
        finally:
            self._reader = None


def _step_back() -> None:
    """Let this thread wait for the writer's, where the system ranks threads: a copy is in no hurry."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def pause_after(seconds: float, *, interval_s: float) -> float:
    """How long to rest after a copy that took so long."""
    return max(interval_s, _SHARE * seconds) - seconds


def _read_facts(path: Path) -> _Present | None:
    """What a copy says of itself; None if it cannot be read, also for being open for writing."""
    try:
        with duckdb.connect(path, read_only=True, config={"threads": 1}) as copy:
            copy.execute("SET TimeZone = 'UTC'")
            row = copy.execute("SELECT copied_at, reporting_timezone, mark, left_out FROM postcall.copy").fetchone()
            if row is None:
                return None
            facts = CopyFacts(copied_at=row[0], reporting_timezone=row[1], mark=row[2])
            return _Present(facts=facts, left_out=tuple(row[3]), places=read_places(copy))
    except duckdb.Error:
        return None
