"""`postcall export parquet`: a folder per table, a folder per day in it, and in that one file.

Only the days whose rows changed since the last export are written again. A file is whole before it gets its name, and
the manifest comes last: whatever was cut off in between is done again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb

from postcall.durable_files import sync_directory, sync_file
from postcall.file_locks import LockTaken, take_lock
from projections.copying.contents import quoted
from projections.exporting.days import DAY, select_with_day
from projections.exporting.errors import ExportFailed, ExportRefused
from projections.exporting.manifest import ExportedTable, Manifest, Part, read_manifest, write_manifest
from projections.exporting.snapshots import Snapshot

_LOCK_FILE: Final = "_lock"
#: What begins with a dot or an underline is passed by, by everything that reads such folders.
_DRAFTS: Final = "_drafts"
_PART_FILE: Final = "part-0.parquet"
#: The folder of rows without a day, as Hive and Spark name it.
_NO_DAY: Final = f"{DAY}=__HIVE_DEFAULT_PARTITION__"
#: The folder of a table that has no rows yet: one file without rows, so that it can be read, and has its columns.
_EMPTY: Final = f"{DAY}=1970-01-01"
_SORT_KEYS: Final = (
    "session_id",
    "seq",
    "analyzer",
    "revision",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "id",
)
_MEMORY_LIMIT: Final = "1GB"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableExport:
    """What became of a table: its rows and files, and how many of these were written and removed now."""

    name: str
    rows: int
    files: int
    written: int
    removed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A table to export: its rows, with their day where they have one."""

    name: str
    columns: Sequence[tuple[str, str]]
    select: str
    has_day: bool


@contextlib.contextmanager
def hold_export(directory: Path) -> Iterator[None]:
    """Hold an export's folder for this process, and clear away what an export that was cut off left.

    :raises ExportRefused: another export is writing it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        lock = take_lock(directory / _LOCK_FILE)
    except LockTaken as taken:
        raise ExportRefused(f"{taken.holder} is exporting to {directory} already.") from None
    with lock:
        drafts = directory / _DRAFTS
        shutil.rmtree(drafts, ignore_errors=True)
        drafts.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(drafts, ignore_errors=True)


def export_tables(snapshot: Snapshot, directory: Path, *, only: Sequence[str] = ()) -> Iterator[TableExport]:
    """Export every public table, or only these, one after the other; the caller holds the folder.

    :raises ExportRefused: there is no such table.
    :raises ExportFailed: a table could not be read, or a file not be written.
    """
    names = _public_names(snapshot.reader)
    if unknown := sorted(set(only) - set(names)):
        raise ExportRefused(f"There is no table {unknown[0]}. There are: {', '.join(names)}.")
    export = _Export(snapshot, directory, names=names)
    try:
        for name in names:
            if not only or name in only:
                yield export.export_table(name)
        if not only:
            export.remove_all_but([*names, *snapshot.left_out])
        export.finish()
    except (duckdb.Error, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ExportFailed(f"The export was not finished: {reason}. Run it again: it goes on from here.") from error


class _Export:
    """One run: what the last one left, and what this one makes of it."""

    def __init__(self, snapshot: Snapshot, directory: Path, *, names: Sequence[str]) -> None:
        self._reader = snapshot.reader
        self._timezone = snapshot.reporting_timezone
        self._directory = directory
        self._drafts = directory / _DRAFTS
        self._has_sessions = "sessions" in names
        self._before = self._read_before()
        self._tables: dict[str, ExportedTable] = dict(self._before)
        self._reader.execute(f"SET temp_directory = {_literal(str(self._drafts / 'spilled'))}")
        self._reader.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")

    def export_table(self, name: str) -> TableExport:
        """Write what changed of a table, and remove what is gone of it."""
        source = self._source(name)
        digests = self._digests(source)
        kept = self._kept(source, digests)
        changed = [folder for folder in digests if folder not in kept]
        parts = kept | dict(self._write(source, digests, changed))
        removed = self._remove_others(name, parts)
        self._tables[name] = ExportedTable(columns=list(source.columns), parts=parts)
        rows = sum(part.rows for part in parts.values())
        return TableExport(name=name, rows=rows, files=len(parts), written=len(changed), removed=removed)

    def remove_all_but(self, names: Sequence[str]) -> None:
        """Remove the files of tables that there are no more."""
        for name in [name for name in self._tables if name not in names]:
            self._remove_others(name, {})
            del self._tables[name]

    def finish(self) -> None:
        """Say what there is now."""
        manifest = Manifest(
            engine=duckdb.__version__,
            reporting_timezone=self._timezone,
            exported_at=datetime.now(UTC).isoformat(),
            tables=self._tables,
        )
        write_manifest(self._directory, manifest, draft=self._drafts / "manifest")

    def _read_before(self) -> Mapping[str, ExportedTable]:
        before = read_manifest(self._directory)
        return before.tables if before is not None and before.engine == duckdb.__version__ else {}

    def _source(self, name: str) -> _Source:
        described = self._reader.execute(f"DESCRIBE {quoted(name)}").fetchall()
        columns = [(column, kind) for column, kind, *_ in described]
        select = select_with_day(name, dict(columns), timezone=self._timezone, has_sessions=self._has_sessions)
        whole = f"SELECT * FROM {quoted(name)}"  # noqa: S608 - a name of the catalog, quoted
        return _Source(name=name, columns=columns, select=select or whole, has_day=select is not None)

    def _digests(self, source: _Source) -> dict[str, tuple[int, str]]:
        """How many rows each folder has, and a hash of them in no order."""
        day, group = (DAY, f" GROUP BY {DAY}") if source.has_day else ("NULL", "")
        rows = self._reader.execute(
            f"SELECT {day}, count(*), coalesce(sum(hash(r)::HUGEINT), 0)::VARCHAR FROM ({source.select}) AS r{group}"  # noqa: S608 - as above
        ).fetchall()
        digests = {_folder(day, source): (count, digest) for day, count, digest in rows}
        return digests or {_EMPTY: (0, "0")}

    def _kept(self, source: _Source, digests: Mapping[str, tuple[int, str]]) -> dict[str, Part]:
        """The files that are still true."""
        before = self._before.get(source.name)
        if before is None or before.columns != list(source.columns):
            return {}
        return {
            folder: part
            for folder, part in before.parts.items()
            if digests.get(folder) == (part.rows, part.digest) and _size(self._path(source.name, folder)) == part.bytes
        }

    def _write(
        self, source: _Source, digests: Mapping[str, tuple[int, str]], changed: Sequence[str]
    ) -> Iterator[tuple[str, Part]]:
        if not changed:
            return
        self._gather(source, changed)
        for folder in changed:
            draft = self._drafts / _PART_FILE
            columns = f"* EXCLUDE ({DAY})" if source.has_day else "*"
            self._reader.execute(
                f"COPY (SELECT {columns} FROM temp.rows_to_export{_condition([folder])})"  # noqa: S608 - as above
                f" TO {_literal(str(draft))} (FORMAT parquet, COMPRESSION zstd)"
            )
            rows, digest = digests[folder]
            part = Part(rows=rows, digest=digest, bytes=draft.stat().st_size)
            _put_in_place(draft, self._path(source.name, folder))
            yield folder, part
        self._reader.execute("DROP TABLE temp.rows_to_export")

    def _gather(self, source: _Source, changed: Sequence[str]) -> None:
        """The changed rows sorted by day, so that a day's file is written from a part of them."""
        keys = [*([DAY] if source.has_day else []), *(key for key in _SORT_KEYS if key in dict(source.columns))]
        order = f" ORDER BY {', '.join(keys)}" if keys else ""
        condition = _condition(changed) if source.has_day else ""
        self._reader.execute(
            f"CREATE OR REPLACE TEMP TABLE rows_to_export AS SELECT * FROM ({source.select}) AS r{condition}{order}"  # noqa: S608 - as above
        )

    def _remove_others(self, name: str, parts: Mapping[str, Part]) -> int:
        """Remove a table's files that are none of these."""
        table = self._directory / name
        found = [*table.glob(_PART_FILE), *table.glob(f"{DAY}=*/{_PART_FILE}")]
        gone = [path for path in found if path not in {self._path(name, folder) for folder in parts}]
        for path in gone:
            path.unlink()
            with contextlib.suppress(OSError):
                # Something of somebody else's is in it.
                path.parent.rmdir()
        return len(gone)

    def _path(self, name: str, folder: str) -> Path:
        return self._directory / name / folder / _PART_FILE


def _public_names(reader: duckdb.DuckDBPyConnection) -> list[str]:
    rows = reader.execute(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'main' AND table_catalog = current_database() ORDER BY table_name"
    ).fetchall()
    return [name for (name,) in rows]


def _folder(day: object, source: _Source) -> str:
    if not source.has_day:
        return ""
    return _NO_DAY if day is None else f"{DAY}={day}"


def _condition(folders: Sequence[str]) -> str:
    """Which rows lie in these folders; all of them where the table is not cut."""
    if list(folders) == [""]:
        return ""
    days = ", ".join(f"DATE '{folder.partition('=')[2]}'" for folder in folders if folder != _NO_DAY)
    with_day = [f"{DAY} IN ({days})"] if days else []
    without_day = [f"{DAY} IS NULL"] if _NO_DAY in folders else []
    return f" WHERE {' OR '.join(with_day + without_day)}"


def _put_in_place(draft: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("rb+") as file:
        sync_file(file.fileno())
    draft.replace(target)
    sync_directory(target.parent)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
