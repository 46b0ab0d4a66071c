"""The laws of a projection, for the shipped files and for a user's: whatever happens on the way, the rows are the same.

A user's statements need not be safe against repetition: what a build has read it never reads again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from postcall.events import DomainEvent
from postcall.records import Record
from projections.batch import build_batch
from projections.builds import Build
from projections.definitions import DefinitionsSource
from projections.warehouse import Warehouse
from tests.projections.logbook import PUBLIC, Said, apply_records, forget_all, number_records, read_tables
from tests.projections.own_files import APPENDED, write_files
from tests.projections.said import logs

OWN = ("refunds", "turns_taken", "told", "told_often")
#: Of a user's files those whose rows hold in any order, too.
RANKED = (*PUBLIC, "refunds")


@dataclass
class Step:
    """Something that happens to a warehouse while it is made."""


@dataclass
class Read(Step):
    """The builds at the front read on, in one batch."""

    count: int


@dataclass
class CatchUp(Step):
    """The builds that are made beside read on, in one batch."""

    count: int


@dataclass
class Begin(Step):
    """A projection is made again from the log's beginning."""

    projection: str


@dataclass
class Crash(Step):
    """The process dies; the next one may hear again of what was read."""

    again: int


steps = st.lists(
    st.one_of(
        st.builds(Read, st.integers(1, 6)),
        st.builds(CatchUp, st.integers(1, 6)),
        st.builds(Begin, st.sampled_from(["sessions", "transcripts", "told", "turns_taken", "refunds"])),
        st.builds(Crash, st.integers(0, 4)),
    ),
    max_size=10,
)


class Making:
    """A warehouse in a file, and how far its builds have read of a log."""

    def __init__(self, path: Path, source: DefinitionsSource, log: Sequence[Record]) -> None:
        self._path, self._source, self._log = path, source, log
        self.warehouse = self._open()
        self._read: dict[Build, int] = {}

    def take(self, step: Step) -> None:
        match step:
            case Read(count=count):
                self._read_on([build for build in self.warehouse.builds if build.is_serving], count)
            case CatchUp(count=count):
                self._read_on([build for build in self.warehouse.builds if not build.is_serving], count)
            case Begin(projection=projection):
                self.warehouse.begin_build(projection)
            case Crash(again=again):
                self.warehouse.close()
                self._read = {build: max(0, count - again) for build, count in self._read.items()}
                self.warehouse = self._open()

    def adopt(self) -> None:
        """Take up the files as they are now."""
        self.warehouse.adopt(self._source.load())

    def finish(self) -> None:
        """Let all builds read to the end, and serve."""
        for build in self.warehouse.builds:
            self._read_on([build], len(self._log))
            if not build.is_serving:
                self.warehouse.serve(build)

    def _read_on(self, builds: Sequence[Build], count: int) -> None:
        if not builds:
            return
        start = min(self._read.get(build, 0) for build in builds)
        batch = build_batch(self._log[start : start + count])
        assert not self.warehouse.apply(batch, builds)
        for build in builds:
            self._read[build] = max(self._read.get(build, 0), min(start + count, len(self._log)))

    def _open(self) -> Warehouse:
        return Warehouse(self._path, self._source.load())


@contextmanager
def making(log: Sequence[Record], *, has_files: bool = True) -> Iterator[tuple[Making, Path]]:
    """A warehouse that is begun on an empty disk, and the folder of a user's files."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "sql"
        if has_files:
            write_files(folder)
        made = Making(Path(directory) / "warehouse-1.duckdb", DefinitionsSource(folder=folder), log)
        try:
            yield made, folder
        finally:
            made.warehouse.close()


@cache
def shared_warehouse() -> Warehouse:
    with tempfile.TemporaryDirectory() as directory:
        return Warehouse(":memory:", DefinitionsSource(folder=write_files(Path(directory))).load())


def rows_of(records: Sequence[Record], *, batch_size: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """What comes of a log, read once from its beginning."""
    warehouse = shared_warehouse()
    try:
        apply_records(warehouse, records, batch_size=batch_size)
        return read_tables(warehouse, (*PUBLIC, *OWN))
    finally:
        forget_all(warehouse)


@given(log=logs, batch_size=st.integers(1, 5))
@settings(max_examples=10, deadline=None)
def test_any_cutting_into_batches_gives_the_same_rows(log: list[Said], batch_size: int) -> None:
    records = number_records(one.to_record() for one in log)
    assert rows_of(records, batch_size=batch_size) == rows_of(records)


@given(log=logs, order=st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_any_order_gives_the_same_rows_of_what_is_ranked(log: list[Said], order: Any) -> None:
    shuffled = order.sample(log, len(log))
    once, other = (rows_of(number_records(one.to_record() for one in said)) for said in (log, shuffled))
    assert {name: once[name] for name in RANKED} == {name: other[name] for name in RANKED}


@given(log=logs, batch_size=st.integers(1, 5))
@settings(max_examples=10, deadline=None)
def test_what_was_read_is_not_counted_again(log: list[Said], batch_size: int) -> None:
    records = number_records(one.to_record() for one in log)
    warehouse = shared_warehouse()
    try:
        apply_records(warehouse, records, batch_size=batch_size)
        before = read_tables(warehouse, (*PUBLIC, *OWN)), warehouse.checkpoints()
        apply_records(warehouse, records)
        apply_records(warehouse, records, batch_size=2)
        assert (read_tables(warehouse, (*PUBLIC, *OWN)), warehouse.checkpoints()) == before
    finally:
        forget_all(warehouse)


@given(log=logs, happening=steps)
@settings(max_examples=6, deadline=None)
def test_whatever_happens_on_the_way_the_rows_are_those_of_a_rebuild(log: list[Said], happening: list[Step]) -> None:
    records = number_records(one.to_record() for one in log)
    with making(records) as (made, _):
        for step in happening:
            made.take(step)
        made.finish()
        assert read_tables(made.warehouse, (*PUBLIC, *OWN)) == rows_of(records)


@given(log=logs, before=steps, after=steps)
@settings(max_examples=6, deadline=None)
def test_files_that_come_late_or_change_give_the_rows_of_a_rebuild(
    log: list[Said], before: list[Step], after: list[Step]
) -> None:
    records = number_records(one.to_record() for one in log)
    with making(records, has_files=False) as (made, folder):
        folder.mkdir()
        (folder / "told.sql").write_text(APPENDED.replace("turns_taken", "told"), "utf-8")
        made.adopt()
        for step in before:
            if not (isinstance(step, Begin) and step.projection in {"turns_taken", "refunds"}):
                made.take(step)
        write_files(folder)
        made.adopt()
        for step in after:
            made.take(step)
        made.finish()
        assert read_tables(made.warehouse, (*PUBLIC, *OWN)) == rows_of(records)


@given(log=logs)
@settings(max_examples=10, deadline=None)
def test_a_delivery_repeated_later_changes_no_session(log: list[Said]) -> None:
    repeated = [replace(one, at=one.at + timedelta(days=1)) for one in log if isinstance(one.message, DomainEvent)]
    once, twice = (rows_of(number_records(one.to_record() for one in said)) for said in (log, [*log, *repeated]))
    names = [name for name in RANKED if name != "dead_letters"]
    assert {name: twice[name] for name in names} == {name: once[name] for name in names}
