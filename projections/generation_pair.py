"""The warehouses of two generations of events, from the same log up to the same offsets, and in what they differ.

Both are made beside the one that serves, in a folder of their own, so a pipeline may run meanwhile. For other rooms
(`postcall.generation_warehouses`).
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from postcall.durable_files import sync_directory
from postcall.generation_warehouses import TableDifference
from postcall.known_log.identity import read_identity
from postcall.log_connection import LogConnection
from postcall.settings import Configuration, Settings
from projections.checkpoints import Place
from projections.definitions import DefinitionsSource
from projections.errors import ProjectionError
from projections.files import make_serving, remove, serving_path, size_bytes
from projections.projector import Projector
from projections.rebuild import projecting
from projections.settings import WarehouseSettings
from projections.table_difference import compare_table
from projections.warehouse import Warehouse

_FOLDER: Final = "generations"
_LOOK_INTERVAL_S: Final = 0.1
_NUMBER: Final = re.compile(r"warehouse-(\d+)\.duckdb")


class GenerationPair:
    """Both warehouses; what an earlier attempt left is deleted."""

    def __init__(self, configuration: Configuration, log: LogConnection, *, before: int, after: int) -> None:
        settings = configuration.read(Settings)
        self._data_dir = settings.data_dir
        self._timezone = settings.reporting_timezone
        self._log = log
        own_files = configuration.read(WarehouseSettings).projections_dir
        self._sources = [DefinitionsSource(folder=own_files, generation=number) for number in (before, after)]
        self._folder = settings.data_dir / _FOLDER
        self.discard()

    async def make(self) -> AsyncGenerator[tuple[int, int], None]:
        """Make both from the log, from the first record that is kept; yields records read, and how many there are.

        :raises PostcallError: the log cannot be read, or the disk has no space for both.
        """
        self._check_space()
        self._folder.mkdir(mode=0o700, parents=True)
        limit = await self._read_limit()
        read = total = 0
        for source in self._sources:
            unread_at_first = None
            projector = Projector(
                self._log, partial(self._open, source), on_reading=lambda: None, source=source, limit=limit
            )
            async with projecting(projector) as running:
                while not running.done():
                    status = await projector.read_status()
                    if status.unread is not None:
                        if unread_at_first is None:
                            unread_at_first = status.unread
                            # Both read about as much.
                            total = total or 2 * unread_at_first
                        yield read + unread_at_first - status.unread, total
                        if status.unread == 0 and not status.catching_up:
                            break
                    await asyncio.sleep(_LOOK_INTERVAL_S)
            read += unread_at_first or 0

    def compare(self, without: Collection[str]) -> Sequence[TableDifference]:
        """Every table that depends on the events, but for these sessions."""
        with duckdb.connect(config={"threads": 2, "memory_limit": "1GB", "temp_directory": str(self._folder)}) as both:
            both.execute("SET TimeZone = 'UTC'")
            for name, source in zip(("before", "after"), self._sources, strict=True):
                path = str(self._path(source)).replace("'", "''")
                both.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
            both.register("left_out", pa.table({"session_id": pa.array(sorted(without), pa.string())}))
            definitions = self._sources[0].load()
            names = [name for name, file in definitions.projections.items() if "events" in file.reads]
            compared = [compare_table(both, name) for name in names]
        return [difference for difference in compared if difference is not None]

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement that reads the later warehouse."""
        with duckdb.connect(self._path(self._sources[1]), read_only=True) as after:
            after.execute("SET TimeZone = 'UTC'")
            found = after.execute(sql)
            columns = [column[0] for column in found.description]
            return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def switch(self) -> str | None:
        """Let the later one serve from the next start of projections on; its file, or None where none is kept here."""
        serving, made = serving_path(self._data_dir), self._path(self._sources[1])
        successor = None
        if serving.exists():
            numbers = self._numbers()
            successor = self._data_dir / f"warehouse-{max(numbers.values()) + 1}.duckdb"
            made.replace(successor)
            sync_directory(self._data_dir)
            make_serving(successor)
            # The one before is kept, and what somebody may be making meanwhile.
            for path, number in numbers.items():
                if number < numbers[serving]:
                    remove(path)
        self.discard()
        return successor.name if successor is not None else None

    def discard(self) -> None:
        """Delete what does not serve."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self, source: DefinitionsSource) -> Warehouse:
        return Warehouse(self._path(source), source.load(), reporting_timezone=self._timezone)

    def _path(self, source: DefinitionsSource) -> Path:
        return self._folder / f"g{source.generation}.duckdb"

    async def _read_limit(self) -> dict[Place, int]:
        """Where every topic ends that either reads: what comes later would make them differ, and means nothing."""
        topics = {topic for source in self._sources for topic in source.load().topics}
        log = await read_identity(self._log, sorted(topics))
        return {
            (name, partition): held.end
            for name, topic in log.topics.items()
            for partition, held in enumerate(topic.partitions)
        }

    def _check_space(self) -> None:
        needed = 2 * size_bytes(serving_path(self._data_dir))
        free = shutil.disk_usage(self._data_dir).free
        if free < needed:
            raise ProjectionError(
                f"Two warehouses beside the present one need about {needed / 1e6:.0f} MB of disk, and "
                f"{free / 1e6:.0f} MB are free. Make room, then run it again."
            )

    def _numbers(self) -> dict[Path, int]:
        found = ((path, _NUMBER.fullmatch(path.name)) for path in self._data_dir.glob("warehouse-*.duckdb"))
        return {path: int(match[1]) for path, match in found if match}
