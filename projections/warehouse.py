"""The warehouse: one DuckDB file, written by one thread, with rows and checkpoints in one transaction.

Everything here blocks and is called from one thread; what `WarehouseReader` has may be used from any. The file is a
projection of the log: whatever is wrong with it, deleting it brings it back.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from postcall.errors import SettingsError
from postcall.known_log.identity import LogIdentity
from postcall.known_log.positions import ReadPosition
from postcall.records import Position
from projections.batch import Batch, SetAside, note_set_aside
from projections.checkpoints import Checkpoint, log_table, place_table, progress_table
from projections.reading import WarehouseReader, translate_connect_error
from projections.sql_files import (
    INPUT_TOPICS,
    PROJECTIONS,
    SqlFile,
    fingerprint,
    load_input,
    load_sql,
    load_tables,
    load_views,
)

logger = logging.getLogger(__name__)

#: What one unreadable value makes DuckDB raise for a whole statement.
_DATA_ERRORS: Final = (
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.InvalidTypeException,
)
_THREADS: Final = 2
_LARGE_BATCH_ROWS: Final = 1_000
_OPTIONS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": _THREADS,
    "memory_limit": "1GB",
    "preserve_insertion_order": False,
    "autoload_known_extensions": False,
}


class Warehouse(WarehouseReader):
    """An open warehouse.

    :raises WarehouseHeld: another process has the file open.
    :raises WarehouseDamaged: the file is no warehouse that can be read.
    """

    def __init__(self, path: Path | str, *, reporting_timezone: str = "UTC") -> None:
        super().__init__(_connect(path), reporting_timezone=reporting_timezone)
        self.path = path
        self._threads = _THREADS
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    @property
    def is_current(self) -> bool:
        """Whether this release's statements made the rows; if not, they must be made again."""
        return self._rows("SELECT fingerprint FROM base.release") == [(fingerprint(),)]

    def checkpoints(self) -> list[Checkpoint]:
        """Every projection's checkpoint in every partition that it has read."""
        rows = self._rows(
            "SELECT projection, kafka_topic, kafka_partition, next_offset, record_checksum,"
            " cluster_id, topic_id, partition_count, is_proven FROM base.checkpoints"
        )
        return [
            Checkpoint(
                projection=projection,
                position=ReadPosition(
                    topic=topic,
                    partition=partition,
                    next_offset=next_offset,
                    record_checksum=checksum,
                    cluster_id=cluster_id,
                    topic_id=topic_id,
                    partition_count=count,
                    is_proven=is_proven,
                ),
            )
            for projection, topic, partition, next_offset, checksum, cluster_id, topic_id, count, is_proven in rows
        ]

    def settle(self, log: LogIdentity) -> list[Checkpoint]:
        """Let the checkpoints be those of this log, with one for every partition; returns them."""
        self._connection.register("log_now", log_table(log))
        with self.transaction() as writer:
            writer.execute(load_sql("checkpoints")["settle"])
        return self.checkpoints()

    def prove(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Note that what was read up to these checkpoints came from the known log."""
        unproven = [checkpoint for checkpoint in checkpoints if not checkpoint.position.is_proven]
        if not unproven:
            return
        self._connection.register("proven", place_table(unproven))
        with self.transaction() as writer:
            writer.execute(load_sql("checkpoints")["prove"])

    def apply(self, batch: Batch) -> None:
        """Merge a batch into all tables that read it, and move their checkpoints, in one transaction.

        Idempotent: a batch applied again changes nothing. Records that cannot be opened are set aside, logged and
        counted.

        :raises duckdb.Error: nothing of the batch is in, or (if COMMIT raised) perhaps all of it: reopen and look.
        """
        followers = [load_sql(name) for name in PROJECTIONS if batch.inputs & set(load_sql(name).reads)]
        kinds = batch.kinds
        takers = [projection for projection in followers if projection.takes(kinds)]
        self._use_threads(batch.table.num_rows)
        # All inputs of the batch are opened, also those that nobody takes, so that what cannot be read is counted.
        self._open_inputs(batch, {name for name, _ in kinds}.union(*(projection.reads for projection in takers)))
        for refused in batch.set_aside:
            logger.warning(
                "Record set aside: %s", refused.reason, extra={"action": "set_aside", "position": str(refused.position)}
            )
        self._connection.register("progress", progress_table(batch, followers))
        with self.transaction() as writer:
            for projection in takers:
                writer.execute(projection["apply"])
            writer.execute(load_sql("checkpoints")["apply"])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writing connection, within one transaction that ends with the block."""
        self._connection.execute("BEGIN")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _prepare(self) -> None:
        self._connection.execute("SET TimeZone = 'UTC'")
        self._check_timezone()
        self._connection.execute("CREATE SCHEMA IF NOT EXISTS base")
        self._connection.execute("CREATE TABLE IF NOT EXISTS base.release (fingerprint VARCHAR)")
        if not self._rows("SELECT 1 FROM base.release"):
            self._connection.execute("INSERT INTO base.release VALUES (?)", [fingerprint()])
        if not self.is_current:
            # Its tables are another release's: today's views may not fit them, and nothing will read them.
            return
        for table in load_tables():
            self._connection.execute(table["schema"])
        for name, select in load_views(reporting_timezone=self.reporting_timezone).items():
            self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS {select}")

    def _check_timezone(self) -> None:
        if not self._rows("SELECT 1 FROM pg_timezone_names() WHERE name = ?", [self.reporting_timezone]):
            raise SettingsError(
                f"POSTCALL_REPORTING_TIMEZONE: {self.reporting_timezone!r} is no time zone; try Europe/London."
            )

    def _rows(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def _use_threads(self, rows: int) -> None:
        # For a few rows, waking a second thread costs more than it does.
        threads = _THREADS if rows >= _LARGE_BATCH_ROWS else 1
        if threads != self._threads:
            self._connection.execute(f"SET threads = {threads}")
            self._threads = threads

    def _open_inputs(self, batch: Batch, names: set[str]) -> None:
        """Parse the batch into the inputs' temporary tables."""
        files = [load_input(name) for name in INPUT_TOPICS if name in names]
        table = batch.table
        try:
            self._open(table, files)
        except _DATA_ERRORS:
            unreadable = self._find_unreadable(table, files)
            if not unreadable:
                raise
            places = table.take(unreadable).select(["kafka_topic", "kafka_partition", "kafka_offset"])
            note_set_aside(batch, _set_aside(zip(*places.to_pydict().values(), strict=True), "Its value is not JSON."))
            self._open(table.take(sorted(set(range(table.num_rows)) - set(unreadable))), files)
        for file in files:
            places = self._rows(file["set_aside"])
            note_set_aside(batch, _set_aside(places, "Its value lacks what its type must have."))

    def _open(self, table: pa.Table, files: list[SqlFile]) -> None:
        self._connection.register("batch", table)
        for file in files:
            self._connection.execute(file["open"])

    def _find_unreadable(self, table: pa.Table, files: list[SqlFile], start: int = 0) -> list[int]:
        try:
            self._open(table, files)
        except _DATA_ERRORS:
            if table.num_rows == 1:
                return [start]
            half = table.num_rows // 2
            return [
                *self._find_unreadable(table.slice(0, half), files, start),
                *self._find_unreadable(table.slice(half), files, start + half),
            ]
        return []


def _connect(path: Path | str) -> duckdb.DuckDBPyConnection:
    if isinstance(path, Path) and path.exists():
        # What a missing right or a read-only disk raises is no damage.
        with path.open("r+b"):
            pass
    try:
        return duckdb.connect(path, config=_OPTIONS)
    except duckdb.Error as error:
        if isinstance(path, Path) and os.statvfs(path.parent).f_bavail == 0:
            raise
        raise translate_connect_error(path, error) from error


def _set_aside(places: Any, reason: str) -> list[SetAside]:
    return [
        SetAside(position=Position(topic=topic, partition=partition, offset=offset), reason=reason)
        for topic, partition, offset in places
    ]
