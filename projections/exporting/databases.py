"""`postcall export duckdb`: the copy, under a name of the user's."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from postcall.settings import Settings
from projections.copying.contents import read_contents, read_mark
from projections.copying.making import CopyFacts, DiskWatch, write_copy
from projections.copying.placing import draft_of, put_in_place
from projections.documentation import describe_all
from projections.exporting.errors import ExportFailed, ExportRefused
from projections.exporting.snapshots import ask_for_copy
from projections.reading import open_read_only
from projections.running import find_service

#: What a database file of DuckDB's has from its ninth byte on.
_MAGIC: Final = b"DUCK"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedDatabase:
    """A database that was written; `left_out` names what is not in it, since its rows cannot be read."""

    path: Path
    bytes: int
    left_out: tuple[str, ...] = ()


def export_database(target: Path, settings: Settings, *, own_files: Path | None = None) -> ExportedDatabase:
    """Write a whole database that any DuckDB opens; one that is there under the name is replaced.

    :param own_files: a folder of SQL files, whose words the database carries too.
    :raises ExportRefused: what is there is something else.
    :raises ProjectionError: there is no warehouse, or the file could not be written.
    """
    _check_target(target, settings.data_dir)
    service = find_service(settings.data_dir)
    try:
        with draft_of(target) as draft:
            if service is None:
                left_out = _write_here(draft, settings, own_files)
            else:
                left_out = ()
                shutil.copyfile(ask_for_copy(service, settings), draft)
            size = draft.stat().st_size
            put_in_place(draft, target)
    except OSError as error:
        raise ExportFailed(f"{target} could not be written: {error}") from error
    return ExportedDatabase(path=target, bytes=size, left_out=left_out)


def _write_here(draft: Path, settings: Settings, own_files: Path | None) -> tuple[str, ...]:
    warehouse = open_read_only(settings.data_dir)
    disk = DiskWatch(draft.parent, spare_bytes=0)
    try:
        with warehouse.snapshot() as reader:
            facts = CopyFacts(
                copied_at=datetime.now(UTC), reporting_timezone=settings.reporting_timezone, mark=read_mark(reader)
            )
            left_out = write_copy(
                reader, draft, read_contents(reader), facts, words=describe_all(own_files), check=disk.check
            )
    finally:
        warehouse.close()
    return tuple(each.name for each in left_out)


def _check_target(target: Path, data_dir: Path) -> None:
    if target.resolve().parent == data_dir.resolve():
        raise ExportRefused(f"{target} is in the data directory, whose files are postcall's own. Choose another place.")
    if not target.parent.is_dir():
        raise ExportRefused(f"There is no folder {target.parent}.")
    if target.is_dir():
        raise ExportRefused(f"{target} is a folder.")
    if target.exists() and target.stat().st_size and not _is_database(target):
        raise ExportRefused(f"{target} is there and is no DuckDB database; it stays as it is. Choose another name.")


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[8:] == _MAGIC
