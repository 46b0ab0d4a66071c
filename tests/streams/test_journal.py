"""The crash journal: what ends a process is found, counted, and no longer begun; a full disk costs the account only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from postcall.records import Record
from streams.failures import MAX_CRASHES
from streams.journal import JOURNAL_SCHEMA, Journal
from streams.kept_positions import open_stage_file


def record(offset: int, *, topic: str = "t", partition: int = 0) -> Record:
    return Record(topic=topic, partition=partition, offset=offset, timestamp_ms=0, key=None, value=b"", headers=())


def records(*offsets: int) -> list[Record]:
    return [record(offset) for offset in offsets]


class Process:
    """One life of a stage's process."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.journal = Journal(database)

    def die_with(self, taken: Sequence[Record]) -> None:
        """End as a kill does, in the midst of these: from then on nothing is written any more."""
        with self.journal.noting(taken):
            self.database.execute("PRAGMA query_only = ON")

    def crashes(self, *offsets: int) -> list[int]:
        return [self.journal.crashes(each) for each in records(*offsets)]


@contextmanager
def process(folder: Path) -> Iterator[Process]:
    with closing(open_stage_file(folder / "stage.sqlite3", schema=JOURNAL_SCHEMA, version=1)) as database:
        yield Process(database)


def test_what_ended_well_is_not_suspect(tmp_path: Path) -> None:
    with process(tmp_path) as first, first.journal.noting(records(1, 2, 3)):
        pass
    with process(tmp_path) as second:
        assert second.crashes(1, 2, 3) == [0, 0, 0]


def test_what_failed_without_ending_the_process_is_not_suspect(tmp_path: Path) -> None:
    with process(tmp_path) as first, pytest.raises(ZeroDivisionError), first.journal.noting(records(1)):
        raise ZeroDivisionError
    with process(tmp_path) as second:
        assert second.crashes(1) == [0]


def test_all_of_a_batch_that_a_process_ended_with_are_suspect_and_no_others(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        first.die_with([*records(5, 6, 7), record(2, partition=1)])
    with process(tmp_path) as second:
        assert second.crashes(4, 5, 6, 7, 8) == [0, 1, 1, 1, 0]
        assert second.journal.crashes(record(2, partition=1)) == 1
        assert second.journal.crashes(record(5, partition=1)) == 0
        assert second.journal.crashes(record(5, topic="u")) == 0


def test_one_that_ends_each_process_is_counted_up_to_the_limit(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        first.die_with(records(5, 6, 7))
    for life in range(1, MAX_CRASHES):
        with process(tmp_path) as later:
            assert later.crashes(6) == [life]
            later.die_with(records(6))
    with process(tmp_path) as last:
        assert last.crashes(5, 6, 7) == [1, MAX_CRASHES, 1]


def test_an_innocent_of_the_batch_is_cleared_and_stays_so(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        first.die_with(records(5, 6, 7))
    with process(tmp_path) as second:
        with second.journal.noting(records(5)):
            pass
        second.journal.clear(record(5))
        second.die_with(records(6))
    with process(tmp_path) as third:
        assert third.crashes(6, 7) == [2, 1]
        third.journal.clear(record(6))
        assert third.crashes(7) == [1]
        third.journal.clear(record(7))
        assert third.crashes(7) == [0]
    with process(tmp_path) as fourth:
        assert fourth.crashes(5, 6, 7) == [0, 0, 0]


def test_two_guilty_ones_of_a_batch_are_each_found(tmp_path: Path) -> None:
    lives = 0
    with process(tmp_path) as first:
        first.die_with(records(5, 6))
    done: set[int] = set()
    while len(done) < 2:
        lives += 1
        with process(tmp_path) as later:
            for each in records(5, 6):
                if each.offset in done:
                    continue
                if later.journal.crashes(each) < MAX_CRASHES:
                    later.die_with([each])
                    break
                done.add(each.offset)
                later.journal.clear(each)
    assert lives <= 2 * MAX_CRASHES


def test_another_log_clears_all_of_suspicion(tmp_path: Path) -> None:
    with process(tmp_path) as first:
        first.die_with(records(1))
    with process(tmp_path) as second:
        second.journal.forget()
        assert second.crashes(1) == [0]
    with process(tmp_path) as third:
        assert third.crashes(1) == [0]


def test_a_full_disk_costs_the_account_and_not_the_work_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with process(tmp_path) as full:
        # As full as can be: the file may not grow, nor take what it has room for.
        full.database.execute("PRAGMA query_only = ON")
        taken = []
        for each in records(1, 2, 3):
            with full.journal.noting([each]):
                taken.append(each.offset)
        assert taken == [1, 2, 3]
        full.database.execute("PRAGMA query_only = OFF")
        with full.journal.noting(records(4)):
            pass
    assert [vars(line)["action"] for line in caplog.records] == ["journal_missed"]


def test_suspects_are_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with process(tmp_path) as first:
        first.die_with(records(1))
    with process(tmp_path):
        pass
    (told,) = [line for line in caplog.records if vars(line)["action"] == "suspects_found"]
    assert (vars(told)["ranges"], vars(told)["crashes"]) == (1, 1)
