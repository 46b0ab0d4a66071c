"""The work index: what the log says, in any order, gives the same work to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcall.checksums import record_checksum
from postcall.dead_letters import Retry
from postcall.log import encode
from postcall.records import Record
from postcall.topics import RECORDING_REQUESTS
from streams.errors import StageFileUnusable
from streams.work_index import Work, WorkIndex
from tests.streams.deliveries import read_back
from tests.streams.requests import AT, download, request_record

Note = Callable[[WorkIndex], None]
FAR_FUTURE_MS = 10**15


def open_index(path: Path) -> WorkIndex:
    return WorkIndex(path / "recordings.sqlite3", lanes=[RECORDING_REQUESTS.name])


@pytest.fixture
def index(tmp_path: Path) -> Iterator[WorkIndex]:
    opened = open_index(tmp_path)
    yield opened
    opened.close()


def file(number: int, *, partition: int = 0) -> Note:
    record = read_back(request_record(number), partition=partition, offset=number)
    return lambda index: index.file(download(number).request_id, record)


def finish(number: int) -> Note:
    return lambda index: index.finish(download(number).request_id)


def defer(number: int, attempt: int) -> Note:
    return lambda index: index.defer(download(number).request_id, attempt=attempt, not_before_ms=attempt * 1000)


def claim_all(index: WorkIndex) -> list[tuple[str, int]]:
    claimed = []
    while isinstance(work := index.claim_due({0}, now_ms=FAR_FUTURE_MS), Work):
        claimed.append((work.record.key.decode() if work.record.key else "", work.attempts))
    return claimed


def test_a_filed_request_is_claimed_once_with_its_record(index: WorkIndex) -> None:
    record = read_back(request_record(7), partition=3, offset=21)
    index.file(download(7).request_id, record)
    work = index.claim_due({3}, now_ms=0)
    assert isinstance(work, Work)
    assert (work.request_id, work.record, work.attempts) == (download(7).request_id, record, 0)
    assert index.claim_due({3}, now_ms=FAR_FUTURE_MS) is None


def test_only_work_of_the_given_partitions_is_claimed(index: WorkIndex) -> None:
    file(1, partition=2)(index)
    assert index.claim_due({0, 1, 3}, now_ms=FAR_FUTURE_MS) is None
    assert index.claim_due(set(), now_ms=FAR_FUTURE_MS) is None


def test_work_is_claimed_in_the_order_of_the_log(index: WorkIndex) -> None:
    for number in (3, 1, 2):
        file(number)(index)
    assert [key for key, _ in claim_all(index)] == ["s-1", "s-2", "s-3"]


def test_deferred_work_is_not_due_before_its_time(index: WorkIndex) -> None:
    file(1)(index)
    defer(1, 4)(index)
    assert index.claim_due({0}, now_ms=3999) == 4000
    work = index.claim_due({0}, now_ms=4000)
    assert isinstance(work, Work)
    assert work.attempts == 4


@given(
    notes=st.permutations([("file", 0), ("file", 0), ("defer", 1), ("defer", 2), ("defer", 2)]),
    is_done=st.booleans(),
    data=st.data(),
)
def test_any_order_and_any_repetition_gives_the_same_work(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, int]], is_done: bool, data: st.DataObject
) -> None:
    if is_done:
        notes = [*notes]
        notes.insert(data.draw(st.integers(0, len(notes))), ("finish", 0))
    index = open_index(tmp_path_factory.mktemp("index"))
    for name, attempt in notes:
        {"file": file(1), "defer": defer(1, attempt), "finish": finish(1)}[name](index)
    assert claim_all(index) == ([] if is_done else [("s-1", 2)])
    index.close()


def test_what_was_running_is_work_again_after_a_crash(tmp_path: Path) -> None:
    index = open_index(tmp_path)
    file(1)(index)
    file(2)(index)
    finish(2)(index)
    assert isinstance(index.claim_due({0}, now_ms=0), Work)
    index.close()
    reopened = open_index(tmp_path)
    assert claim_all(reopened) == [("s-1", 0)]
    reopened.close()


def test_a_failed_transaction_moves_no_position(index: WorkIndex) -> None:
    record = read_back(request_record(1), offset=5)

    def fail_half_way() -> None:
        with index.transaction():
            file(1)(index)
            index.positions.advance([record])
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert index.positions.find(record.topic, 0) is None
    assert claim_all(index) == []


def test_a_position_never_goes_back(index: WorkIndex) -> None:
    for offset in (5, 3):
        index.positions.advance([read_back(request_record(offset), offset=offset)])
    position = index.positions.find(RECORDING_REQUESTS.name, 0)
    assert position is not None
    assert position.next_offset == 6
    assert position.record_checksum == record_checksum(read_back(request_record(5), offset=5))


def test_a_position_is_proven_until_it_moves(index: WorkIndex) -> None:
    def read(offset: int) -> None:
        index.positions.advance([read_back(request_record(offset), offset=offset)])

    def is_proven() -> bool:
        position = index.positions.find(RECORDING_REQUESTS.name, 0)
        return position is not None and position.is_proven

    read(0)
    before = index.positions.all()
    assert not is_proven()
    index.positions.prove(before)
    assert is_proven()
    read(1)
    assert not is_proven()
    index.positions.prove(before)
    assert not is_proven(), "what was read since is not proven"


def test_a_failure_of_ours_puts_work_back_until_later(index: WorkIndex) -> None:
    file(1)(index)
    work = index.claim_due({0}, now_ms=0)
    assert isinstance(work, Work)
    index.put_back(work.request_id, failures=2, not_before_ms=500)
    assert index.claim_due({0}, now_ms=499) == 500
    again = index.claim_due({0}, now_ms=500)
    assert isinstance(again, Work)
    assert (again.failures, again.attempts) == (2, 0)


def test_a_request_that_was_set_aside_is_no_work_until_it_is_asked_for_again(index: WorkIndex) -> None:
    file(1)(index)
    index.set_aside_at(RECORDING_REQUESTS.name, 0, 1)
    file(1)(index)
    assert claim_all(index) == []
    index.file(download(1).request_id, retry_at(7))
    index.set_aside_at(RECORDING_REQUESTS.name, 0, 1)
    assert claim_all(index) == [("s-1", 0)]


def test_a_request_that_is_done_is_not_done_again_by_a_retry(index: WorkIndex) -> None:
    file(1)(index)
    finish(1)(index)
    index.file(download(1).request_id, retry_at(7))
    assert claim_all(index) == []


def test_what_a_process_ended_with_is_suspect_and_what_was_cancelled_is_not(tmp_path: Path) -> None:
    crash_after_claim(tmp_path)
    for crashes in (1, 2):
        index = open_index(tmp_path)
        assert index.has_suspects({0})
        suspect = index.claim_suspect({0})
        assert suspect is not None
        assert suspect.crashes == crashes
        index.close()
        mark_running(tmp_path)
    stopped = open_index(tmp_path)
    assert stopped.claim_suspect({0}) is not None
    stopped.close()
    after_stop = open_index(tmp_path)
    suspect = after_stop.claim_suspect({0})
    after_stop.close()
    assert suspect is not None
    assert suspect.crashes == 3, "a cancelled attempt counts for nothing"


def test_live_requests_go_before_those_in_bulk(tmp_path: Path) -> None:
    index = WorkIndex(tmp_path / "insights.sqlite3", lanes=["live", "bulk"])
    for number, topic in ((1, "bulk"), (2, "bulk"), (3, "live")):
        index.file(download(number).request_id, replace(read_back(request_record(number), offset=number), topic=topic))
    # Asked for in bulk first, and live then.
    index.file(download(2).request_id, replace(read_back(request_record(2), offset=9), topic="live"))
    claimed = []
    while isinstance(work := index.claim_due({0}, now_ms=0), Work):
        claimed.append((work.record.topic, work.record.key))
    index.close()
    assert claimed == [("live", b"s-3"), ("live", b"s-2"), ("bulk", b"s-1")]


def retry_at(offset: int) -> Record:
    """The first request, asked for again."""
    again = encode(download(1), source="replay", time=AT, retry_of=Retry(id=uuid4(), attempts=3))
    return read_back(again, offset=offset)


def crash_after_claim(path: Path) -> None:
    index = open_index(path)
    file(1)(index)
    index.close()
    mark_running(path)


def mark_running(path: Path) -> None:
    """Leave the file as a process does that is killed while it works."""
    database = sqlite3.connect(path / "recordings.sqlite3")
    database.execute("UPDATE work SET state = 'running'")
    database.commit()
    database.close()


@pytest.mark.usefixtures("index")
def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFileUnusable, match=r"held by process \d+"):
        open_index(tmp_path)


def damage(path: Path) -> None:
    path.write_bytes(b"no database, but long enough to be looked at" * 100)


def age(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()


@pytest.mark.parametrize("alter", [damage, age])
def test_an_index_that_is_damaged_or_of_another_release_is_begun_anew(
    tmp_path: Path, alter: Callable[[Path], None]
) -> None:
    index = open_index(tmp_path)
    file(1)(index)
    index.close()
    alter(tmp_path / "recordings.sqlite3")
    index = open_index(tmp_path)
    assert index.claim_due([0], now_ms=FAR_FUTURE_MS) is None
    index.close()


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "recordings.sqlite3").mkdir()
    with pytest.raises(StageFileUnusable, match="unable to open"):
        open_index(tmp_path)
