"""The warehouse: one DuckDB file, written by one thread, with rows and checkpoints in one transaction.

Everything here blocks and is called from one thread; what `WarehouseReader` has may be used from any. The file is a
projection of the log: whatever is wrong with it, deleting it brings it back.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import duckdb

from postcall.errors import SettingsError
from postcall.known_log.identity import LogIdentity
from postcall.known_log.positions import ReadPosition
from projections.batch import Batch, SetAside
from projections.builds import Build
from projections.checkpoints import (
    BuildKey,
    Checkpoint,
    Place,
    log_table,
    place_of,
    place_table,
    progress_table,
)
from projections.definitions import Definitions, DefinitionsSource
from projections.errors import BrokenSqlFile, ProjectionStopped, WarehouseDamaged
from projections.input_tables import drop_left_tables, open_inputs
from projections.public_views import PublicViews
from projections.reading import WarehouseReader, is_damage, translate_connect_error
from projections.sql_files import SqlFile, load_sql
from projections.time_limit import interrupted_after
from projections.transactions import enter_schema, transaction
from projections.trying_out import try_out_statements

logger = logging.getLogger(__name__)

#: Of the tables that every warehouse has; those of a projection are told by their fingerprints.
LAYOUT: Final = 2
_THREADS: Final = 2
_LARGE_BATCH_ROWS: Final = 1_000
#: How long the write-ahead log may get. A checkpoint writes the partly filled row groups of all tables again, which is
#: up to two seconds of work: after each large batch it was most of a rebuild.
_LARGE_WAL: Final = "256MB"
_SMALL_WAL: Final = "32MB"
#: What a user's own statements may take of the writer's time before they are stopped.
OWN_STATEMENTS_S: Final = 60.0
_OPTIONS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": _THREADS,
    "memory_limit": "1GB",
    "preserve_insertion_order": False,
    "autoload_known_extensions": False,
}


class Warehouse(WarehouseReader):
    """An open warehouse.

    :param own_statements_s: what a user's own statements may take for one batch before they are stopped.
    :raises WarehouseHeld: another process has the file open.
    :raises WarehouseDamaged: the file is no warehouse that can be read.
    """

    def __init__(
        self,
        path: Path | str,
        definitions: Definitions | None = None,
        *,
        reporting_timezone: str = "UTC",
        own_statements_s: float = OWN_STATEMENTS_S,
    ) -> None:
        super().__init__(_connect(path))
        self.path = path
        self.reporting_timezone = reporting_timezone
        self.definitions = definitions or DefinitionsSource().load()
        self._own_statements_s = own_statements_s
        #: With the files whose view does not work, and these.
        self._tried, self._refused = self.definitions, list[BrokenSqlFile]()
        self._is_for_large: bool | None = None
        self._builds: dict[BuildKey, Build] = {}
        self._offsets: dict[BuildKey, dict[Place, int]] = {}
        #: The user's projection whose statements made the database unusable.
        self.crashed: ProjectionStopped | None = None
        self._shown: tuple[Definitions, set[BuildKey]] | None = None
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            if is_damage(error):
                raise WarehouseDamaged(f"{path} cannot be read: {error}") from error
            raise

    @property
    def is_current(self) -> bool:
        """Whether its tables are laid out as this release does it; if not, they must be made again."""
        return self._rows("SELECT number FROM base.layout") == [(LAYOUT,)]

    @property
    def builds(self) -> Collection[Build]:
        """The builds that are kept in step with the log: those made of the present definitions."""
        return [
            build
            for build in self._builds.values()
            if build.projection in self.definitions.projections
            and build.fingerprint == self.definitions.fingerprints[build.projection]
        ]

    def adopt(self, definitions: Definitions) -> None:
        """Let the warehouse be made of these definitions: what is new or changed gets a build, what is gone goes."""
        self.definitions = definitions
        kept, present = {*definitions.projections, *definitions.refused_names}, self.builds
        for build in list(self._builds.values()):
            if build.projection not in kept or not (build.is_serving or build in present):
                self._drop(build)
        for name in definitions.projections:
            if not any(build.projection == name for build in present):
                self._begin_or_refuse(name)
        self._tried = self.definitions
        self._write_views()
        self._note_offsets()

    def begin_build(self, projection: str) -> Build:
        """Begin a build beside the one that serves; one that was begun before goes on.

        :raises BrokenSqlFile: the statements of its file do not work.
        """
        earlier = [build for build in self._builds.values() if build.projection == projection]
        for build in earlier:
            if not build.is_serving and build in self.builds:
                return build
        build = Build(
            projection=projection,
            number=max((build.number for build in earlier), default=0) + 1,
            fingerprint=self.definitions.fingerprints[projection],
            is_serving=not earlier,
        )
        with self.transaction() as writer:
            writer.execute(f'CREATE SCHEMA "{build.schema}"')
            self._try_out(build)
            writer.execute("INSERT INTO base.builds VALUES (?, ?, ?, ?)", [*build.key, build.fingerprint, not earlier])
        self._builds[build.key] = build
        return build

    def serve(self, build: Build) -> None:
        """Let a build take the place of the one that serves, whose tables are dropped.

        :raises BrokenSqlFile: its view does not work.
        """
        before = dict(self._builds)
        for each in before.values():
            if each.projection == build.projection:
                self._builds[each.key] = replace(each, is_serving=each.key == build.key)
        try:
            with self.transaction() as writer:
                writer.execute("UPDATE base.builds SET is_serving = (build = ?) WHERE projection = ?", build.key[::-1])
                self._public_views().put(self.definitions.projections[build.projection])
        except BaseException:
            self._builds = before
            raise
        for each in list(self._builds.values()):
            if each.projection == build.projection and not each.is_serving:
                self._drop(each)
        self._write_views()

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoint of every build that is kept in step, in every partition that it has read."""
        rows = self._rows(
            "SELECT projection, build, kafka_topic, kafka_partition, next_offset, record_checksum,"
            " cluster_id, topic_id, partition_count, is_proven FROM base.checkpoints"
        )
        kept = {build.key for build in self.builds}
        return [
            Checkpoint(
                build=(projection, number),
                position=ReadPosition(
                    topic=topic,
                    partition=partition,
                    next_offset=next_offset,
                    record_checksum=checksum,
                    cluster_id=cluster_id,
                    topic_id=topic_id,
                    partition_count=count,
                    is_proven=proven,
                ),
            )
            for projection, number, topic, partition, next_offset, checksum, cluster_id, topic_id, count, proven in rows
            if (projection, number) in kept
        ]

    def settle(self, log: LogIdentity) -> list[Checkpoint]:
        """Let the checkpoints be those of this log, with one for every partition; returns them."""
        self._connection.register("log_now", log_table(log, self._topics(self.builds)))
        with self.transaction() as writer:
            writer.execute(load_sql("checkpoints")["settle"])
        return self._note_offsets()

    def prove(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Note that what was read up to these checkpoints came from the known log."""
        unproven = [checkpoint for checkpoint in checkpoints if not checkpoint.position.is_proven]
        if not unproven:
            return
        self._connection.register("proven", place_table(unproven))
        with self.transaction() as writer:
            writer.execute(load_sql("checkpoints")["prove"])

    def apply(self, batch: Batch, builds: Collection[Build] | None = None) -> list[ProjectionStopped]:
        """Merge a batch into the tables of these builds (None: of all), each with its checkpoints in one transaction.

        What lies before a build's checkpoint is left out for it, so a batch applied again changes nothing. Records
        that cannot be opened are set aside, logged and counted. The shipped projections share a transaction; each of a
        user's has its own, and where its statements fail it is returned as stopped, and the others are not touched.

        :raises duckdb.Error: nothing of the batch is in, or (if COMMIT raised) perhaps all of it: reopen and look.
        """
        self._adapt_to(batch.table.num_rows)
        stopped: list[ProjectionStopped] = []
        for new, group in self._group(batch, self.builds if builds is None else builds):
            kinds = new.kinds
            takers = {build: self.definitions.projections[build.projection] for build in group}
            # All inputs of the batch are opened, also those that nobody takes, so that what cannot be read is counted.
            inputs = {name for name, _ in kinds}.union(*(file.reads for file in takers.values() if file.takes(kinds)))
            part = open_inputs(self._connection, new, inputs)
            shipped = [build for build, file in takers.items() if file.is_shipped]
            if shipped:
                _log_set_aside(part.set_aside)
                self._merge(part, kinds, shipped)
            for build in group:
                if build not in shipped:
                    stopped += self._merge_own(new, build)
        return stopped

    def transaction(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The writing connection, within one transaction that ends with the block."""
        return transaction(self._connection)

    def _prepare(self) -> None:
        self._connection.execute("SET TimeZone = 'UTC'")
        self._check_timezone()
        self._connection.execute("CREATE SCHEMA IF NOT EXISTS base")
        if not self._rows("SELECT 1 FROM duckdb_tables() WHERE schema_name = 'base'"):
            with self.transaction() as writer:
                writer.execute("CREATE TABLE base.layout (number INTEGER)")
                writer.execute("INSERT INTO base.layout VALUES (?)", [LAYOUT])
                writer.execute(load_sql("checkpoints")["schema"])
        self._connection.execute("CREATE TABLE IF NOT EXISTS base.layout (number INTEGER)")
        if not self.is_current:
            # Its tables are another release's: today's views may not fit them, and nothing will read them.
            return
        rows = self._rows("SELECT projection, build, fingerprint, is_serving FROM base.builds")
        builds = [Build(projection=row[0], number=row[1], fingerprint=row[2], is_serving=row[3]) for row in rows]
        self._builds = {build.key: build for build in builds}
        self.adopt(self.definitions)

    def _check_timezone(self) -> None:
        if not self._rows("SELECT 1 FROM pg_timezone_names() WHERE name = ?", [self.reporting_timezone]):
            raise SettingsError(
                f"POSTCALL_REPORTING_TIMEZONE: {self.reporting_timezone!r} is no time zone; try Europe/London."
            )

    def _begin_or_refuse(self, projection: str) -> None:
        try:
            self.begin_build(projection)
        except BrokenSqlFile as refusal:
            if self.definitions.projections[projection].is_shipped:
                raise
            self.definitions = self.definitions.without(refusal)

    def _try_out(self, build: Build) -> None:
        """Make the tables of a new build, once its statements were tried on nothing."""
        file = self.definitions.projections[build.projection]
        if not file.is_shipped:
            try_out_statements(file, build.schema, limit_s=self._own_statements_s)
        enter_schema(self._connection, build.schema)
        file.run("schema", self._connection)
        if not file.is_shipped:
            self._public_views([build]).try_out(file)

    def _drop(self, build: Build) -> None:
        with self.transaction() as writer:
            writer.execute("DELETE FROM base.builds WHERE projection = ? AND build = ?", build.key)
            writer.execute("DELETE FROM base.checkpoints WHERE projection = ? AND build = ?", build.key)
            if build.is_serving:
                self._public_views().remove(build.projection)
            writer.execute(f'DROP SCHEMA "{build.schema}" CASCADE')
        self._builds.pop(build.key)

    def _public_views(self, shown: Iterable[Build] | None = None) -> PublicViews:
        if shown is None:
            shown = [build for build in self.builds if build.is_serving]
        schemas = {build.projection: build.schema for build in shown}
        return PublicViews(self._connection, self.definitions, schemas, reporting_timezone=self.reporting_timezone)

    def _write_views(self) -> None:
        # A view that did not work may do so now that other tables serve.
        self.definitions = self._tried
        serving = {build.key for build in self.builds if build.is_serving}
        if self._shown != (self._tried, serving):
            self._shown, self._refused = (self._tried, serving), self._public_views().write()
            self.forget_catalog()
        for refusal in self._refused:
            self.definitions = self.definitions.without(refusal)

    def _rows(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def _adapt_to(self, rows: int) -> None:
        is_large = rows >= _LARGE_BATCH_ROWS
        if is_large != self._is_for_large:
            # For a few rows, waking a second thread costs more than it does.
            self._connection.execute(f"SET threads = {_THREADS if is_large else 1}")
            self._connection.execute(f"SET checkpoint_threshold = '{_LARGE_WAL if is_large else _SMALL_WAL}'")
            self._is_for_large = is_large

    def _topics(self, builds: Iterable[Build]) -> dict[BuildKey, frozenset[str]]:
        return {build.key: self.definitions.topics_of(build.projection) for build in builds}

    def _note_offsets(self) -> list[Checkpoint]:
        checkpoints = self.checkpoints()
        self._offsets = {}
        for checkpoint in checkpoints:
            offsets = self._offsets.setdefault(checkpoint.build, {})
            offsets[place_of(checkpoint.position)] = checkpoint.position.next_offset
        return checkpoints

    def _group(self, batch: Batch, builds: Collection[Build]) -> Iterator[tuple[Batch, list[Build]]]:
        """The builds that a batch takes further, together where the same part of it is new to them."""
        groups: dict[int, tuple[Batch, list[Build]]] = {id(batch): (batch, [])}
        for build in builds:
            topics = self.definitions.topics_of(build.projection)
            if not any(topic in topics for topic, _ in batch.progress):
                continue
            part = batch.after(self._offsets.get(build.key, {}))
            groups.setdefault(id(part), (part, []))[1].append(build)
        for part, group in groups.values():
            if group and part.progress:
                yield part, group

    def _merge(self, part: Batch, kinds: set[tuple[str, str]], builds: Sequence[Build]) -> None:
        topics = self._topics(builds)
        set_aside = Counter((each.position.topic, each.position.partition) for each in part.set_aside)
        self._connection.register("progress", progress_table(part.progress, set_aside, topics))
        with self.transaction() as writer:
            for build in builds:
                file = self.definitions.projections[build.projection]
                if file.takes(kinds):
                    self._run_apply(build, file)
            writer.execute(load_sql("checkpoints")["apply"])
        for key, followed in topics.items():
            offsets = self._offsets.setdefault(key, {})
            offsets |= {place: each.next_offset for place, each in part.progress.items() if place[0] in followed}

    def _run_apply(self, build: Build, file: SqlFile) -> None:
        enter_schema(self._connection, build.schema)
        if file.is_shipped:
            self._connection.execute(file["apply"])
            return
        with interrupted_after(self._own_statements_s, self._connection):
            file.run("apply", self._connection)

    def _merge_own(self, new: Batch, build: Build) -> Iterator[ProjectionStopped]:
        file = self.definitions.projections[build.projection]
        # Whatever else a batch happens to hold, its statements see the types that it says it reads.
        part = new.only(file.reads)
        kinds = part.kinds
        if kinds:
            part = open_inputs(self._connection, part, set(file.reads))
        try:
            self._merge(part, kinds, [build])
        except BrokenSqlFile as error:
            cause = error.__cause__
            if isinstance(cause, duckdb.Error) and is_damage(cause):
                raise cause from None
            if isinstance(cause, duckdb.IOException) and isinstance(self.path, Path) and _is_full(self.path.parent):
                raise cause from None
            if isinstance(cause, duckdb.FatalException | duckdb.InternalException):
                # The database is of no use until it is opened again; were this run then, so it would be for ever.
                self.crashed = ProjectionStopped(build.projection, error)
                raise cause from None
            yield ProjectionStopped(build.projection, error)
        drop_left_tables(self._connection)


def _connect(path: Path | str) -> duckdb.DuckDBPyConnection:
    if isinstance(path, Path) and path.exists():
        # What a missing right or a read-only disk raises is no damage.
        with path.open("r+b"):
            pass
    try:
        return duckdb.connect(path, config=_OPTIONS)
    except duckdb.Error as error:
        if isinstance(path, Path) and _is_full(path.parent):
            raise
        raise translate_connect_error(path, error) from error


def _is_full(directory: Path) -> bool:
    return os.statvfs(directory).f_bavail == 0


def _log_set_aside(refused: Iterable[SetAside]) -> None:
    for each in refused:
        logger.warning(
            "Record set aside: %s", each.reason, extra={"action": "set_aside", "position": str(each.position)}
        )
