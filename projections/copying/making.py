"""Writing a copy: one state of the warehouse into a database of its own, table by table.

The copy is another instance of the engine, with memory of its own: whatever befalls it, a full disk above all, befalls
it alone. Rows go over as Arrow batches, so that it takes no more memory for more of them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from projections.copying.contents import Contents, PublicTable, quoted
from projections.copying.errors import CopyFailed, DiskNearlyFull, TableUnreadable
from projections.copying.slices import slices_of
from projections.documentation import TableWords

_OPTIONS: Final[dict[str, str | bool | int | float | list[str]]] = {
    # One thread is left to the writer, wherever there are two.
    "threads": 1,
    "memory_limit": "256MB",
    "preserve_insertion_order": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "python_enable_replacements": False,
}
_BATCH_ROWS: Final = 20_000
_PORTION_BATCHES: Final = 25
#: Types that Arrow has not, or not whole, go over as text.
_AS_TEXT: Final = re.compile(r"\b(?:BIT|UHUGEINT|TIME WITH TIME ZONE)\b")
#: What the engine calls an error that lies in the rows themselves.
_ROW_ERRORS: Final = frozenset({"Conversion Error", "Invalid Input Error", "Out of Range Error", "Mismatch Type Error"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyFacts:
    """What a copy says of itself, in its table `postcall.copy`."""

    copied_at: datetime
    reporting_timezone: str
    mark: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A table or view that could not be copied, and the kind of error: its message may hold what callers said."""

    name: str
    kind: str


class DiskWatch:
    """Holds a copy to what the disk can spare: the log and the warehouse must not be the ones that find it full."""

    def __init__(self, folder: Path, *, spare_bytes: int) -> None:
        self._folder = folder
        self._spare_bytes = spare_bytes

    def check(self, *, needed_bytes: int = 0) -> None:
        """Whether so much more may be written.

        :raises DiskNearlyFull: says how much is free.
        """
        free = shutil.disk_usage(self._folder).free
        if free < self._spare_bytes + needed_bytes:
            raise DiskNearlyFull(
                f"{free / 1e6:.0f} MB are free in {self._folder}, and a copy must leave "
                f"{self._spare_bytes / 1e6:.0f} MB of them; the copy until now stays."
            )


def write_copy(
    reader: duckdb.DuckDBPyConnection,
    draft: Path,
    contents: Contents,
    facts: CopyFacts,
    *,
    words: Mapping[str, TableWords],
    check: Callable[[], None],
) -> list[LeftOut]:
    """Write what a snapshot shows into a new file; says what had to be left out.

    :param check: called between batches; what it raises ends the copy.
    :raises CopyFailed: the file could not be written, or the snapshot not be read.
    """
    try:
        with duckdb.connect(draft, config=_OPTIONS) as copy:
            copy.execute("SET TimeZone = 'UTC'")
            left_out = list(_copy_tables(reader, copy, contents, check))
            # Each by itself would be forced to the disk by itself.
            copy.execute("BEGIN")
            left_out += _make_views(copy, contents)
            _write_comments(copy, contents, words)
            _write_facts(copy, facts, left_out)
            copy.execute("COMMIT")
            copy.execute("CHECKPOINT")
    except (duckdb.Error, OSError) as error:
        raise CopyFailed(f"The copy could not be written: {_first_line(error)}") from error
    return left_out


def _copy_tables(
    reader: duckdb.DuckDBPyConnection, copy: duckdb.DuckDBPyConnection, contents: Contents, check: Callable[[], None]
) -> Iterator[LeftOut]:
    for table in contents.tables:
        columns = ", ".join(f"{quoted(name)} {_type_in_copy(kind)}" for name, kind in table.columns)
        copy.execute(f"CREATE TABLE {quoted(table.name)} ({columns})")
        try:
            _copy_rows(reader, copy, table, check)
        except TableUnreadable as error:
            copy.execute(f"DROP TABLE {quoted(table.name)}")
            yield LeftOut(name=table.name, kind=str(error))


def _copy_rows(
    reader: duckdb.DuckDBPyConnection,
    copy: duckdb.DuckDBPyConnection,
    table: PublicTable,
    check: Callable[[], None],
) -> None:
    columns = ", ".join(f"CAST({quoted(name)} AS {_type_in_copy(kind)})" for name, kind in table.columns)
    feed = _Feed(reader, table, check)
    try:
        for portion in feed.portions():
            copy.register("rows_of_table", portion)
            copy.execute(f"INSERT INTO {quoted(table.name)} SELECT {columns} FROM rows_of_table")  # noqa: S608 - names of the catalog, quoted
            copy.unregister("rows_of_table")
    except (duckdb.Error, OSError, pa.ArrowException):
        feed.raise_failure()
        raise


class _Feed:
    """A table's rows on their way over; remembers what ended them, of which the engine tells the other side little."""

    def __init__(self, reader: duckdb.DuckDBPyConnection, table: PublicTable, check: Callable[[], None]) -> None:
        self._reader = reader
        self._table = table
        self._select = _select(table)
        self._check = check
        self._failure: Exception | None = None

    def portions(self) -> Iterator[pa.RecordBatchReader]:
        """The rows in portions, read as they are taken: the engine holds what one INSERT takes until its end."""
        batches = self._batches()
        for first in batches:
            others = islice(batches, _PORTION_BATCHES - 1)
            yield pa.RecordBatchReader.from_batches(first.schema, chain([first], others))

    def raise_failure(self) -> None:
        """Raise what ended the rows early, if anything did.

        :raises TableUnreadable: it lies in the rows.
        :raises CopyFailed: it lies elsewhere.
        """
        if self._failure is None:
            return
        if isinstance(self._failure, CopyFailed):
            raise self._failure
        kind = str(self._failure).partition(":")[0]
        if kind in _ROW_ERRORS:
            raise TableUnreadable(kind) from self._failure
        raise CopyFailed(f"The warehouse could not be read: {_first_line(self._failure)}") from self._failure

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            self._check()
            for condition, parameters in slices_of(self._reader, self._table, self._select):
                for batch in self._reader.execute(self._select + condition, parameters).to_arrow_reader(_BATCH_ROWS):
                    self._check()
                    yield batch
        except (CopyFailed, OSError, pa.ArrowException, duckdb.Error) as error:
            self._failure = error
            raise


def _make_views(copy: duckdb.DuckDBPyConnection, contents: Contents) -> Iterator[LeftOut]:
    for view in contents.views:
        try:
            copy.execute(f"CREATE VIEW {quoted(view.name)} AS {view.select}")
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            # It is over something that was left out.
            yield LeftOut(name=view.name, kind=type(error).__name__)


def _write_comments(copy: duckdb.DuckDBPyConnection, contents: Contents, words: Mapping[str, TableWords]) -> None:
    made = copy.execute(
        "SELECT table_name, list(column_name) FROM duckdb_columns() WHERE NOT internal GROUP BY table_name"
    ).fetchall()
    views = {view.name for view in contents.views}
    for name, columns in made:
        if (said := words.get(name)) is None:
            continue
        copy.execute(f"COMMENT ON {'VIEW' if name in views else 'TABLE'} {quoted(name)} IS {_literal(said.meaning)}")
        for column in columns:
            if meaning := said.columns.get(column):
                copy.execute(f"COMMENT ON COLUMN {quoted(name)}.{quoted(column)} IS {_literal(meaning)}")


def _write_facts(copy: duckdb.DuckDBPyConnection, facts: CopyFacts, left_out: Sequence[LeftOut]) -> None:
    copy.execute("CREATE SCHEMA postcall")
    copy.execute(
        "CREATE TABLE postcall.copy"
        " (copied_at TIMESTAMPTZ, reporting_timezone VARCHAR, left_out VARCHAR[], mark VARCHAR)"
    )
    names = [each.name for each in left_out]
    copy.execute(
        "INSERT INTO postcall.copy VALUES (?, ?, ?, ?)", [facts.copied_at, facts.reporting_timezone, names, facts.mark]
    )


def _select(table: PublicTable) -> str:
    columns = (
        f"CAST({quoted(name)} AS {passage}) AS {quoted(name)}" if (passage := _passage(kind)) else quoted(name)
        for name, kind in table.columns
    )
    return f"SELECT {', '.join(columns)} FROM {quoted(table.name)}"  # noqa: S608 - names of the catalog, quoted


def _passage(kind: str) -> str | None:
    """As what a type goes over, if not as itself."""
    return "JSON" if "VARIANT" in kind else "VARCHAR" if _AS_TEXT.search(kind) else None


def _type_in_copy(kind: str) -> str:
    return "JSON" if "VARIANT" in kind else kind


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
