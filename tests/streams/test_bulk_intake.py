"""Requests in bulk, from the log into a work index, and through a stage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from postcall.log import encode
from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.records import Record
from postcall.requests import DownloadRecording
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ANALYSIS_BACKFILL, RECORDINGS
from streams.bulk_intake import BulkIntake
from streams.errors import StageCrashed
from streams.work_index import WorkIndex
from tests.broker.log_process import LogProcess, running_log
from tests.streams.ledger_worker import Answer, LedgerWorker, answer_stored, make_stage, read_ledger
from tests.streams.log_contents import PARTITIONS, append_all, count_records
from tests.streams.requests import AT, download, stored
from tests.streams.running import running
from tests.waiting import eventually

#: A busy machine may take its time.
until = partial(eventually, timeout_s=60)

ALL = frozenset(range(PARTITIONS))


class _BulkWorker(LedgerWorker):
    bulk_requests = ANALYSIS_BACKFILL


class _Filed:
    """What was filed, with the positions that a stage would move with it."""

    def __init__(self, index: WorkIndex) -> None:
        self.index = index
        self.sessions: list[str] = []

    async def file(self, records: Sequence[Record]) -> None:
        with self.index.transaction():
            self.index.positions.advance(records)
        self.sessions += [(record.key or b"").decode() for record in records]


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[_Filed]:
    index = WorkIndex(tmp_path / "work.sqlite3", lanes=[ANALYSIS_BACKFILL.name])
    yield _Filed(index)
    index.close()


@asynccontextmanager
async def reading(address: str, filed: _Filed) -> AsyncIterator[BulkIntake]:
    """An intake that reads, and owns nothing yet."""
    intake = BulkIntake(ANALYSIS_BACKFILL, log=LogConnection(address), positions=filed.index.positions, file=filed.file)
    run = asyncio.create_task(intake.run())
    try:
        yield intake
        assert not run.done()
    finally:
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run


async def ask_in_bulk(address: str, numbers: range) -> None:
    await append_all(
        address, [encode(download(number), source="replay", time=AT, topic=ANALYSIS_BACKFILL) for number in numbers]
    )


def sessions(numbers: range) -> list[str]:
    return sorted(f"s-{number}" for number in numbers)


async def test_each_record_is_filed_once_whatever_partitions_come_and_go(log: str, filed: _Filed) -> None:
    await ask_in_bulk(log, range(40))
    async with reading(log, filed) as intake:
        intake.own(frozenset({0, 1}))
        await until(lambda: bool(filed.sessions))
        intake.own(ALL)
        await until(lambda: len(filed.sessions) >= 40)
        intake.own(frozenset({2, 3}))
        intake.own(ALL)
        await ask_in_bulk(log, range(40, 50))
        await until(lambda: len(filed.sessions) >= 50)
    async with reading(log, filed) as intake:
        intake.own(ALL)
        await ask_in_bulk(log, range(50, 60))
        await until(lambda: len(filed.sessions) >= 60)
    assert sorted(filed.sessions) == sessions(range(60))


async def test_a_log_that_is_down_is_waited_for(tmp_path: Path, filed: _Filed) -> None:
    process = LogProcess(tmp_path / "log")
    await create_topics(LogConnection(process.address), TopicSettings(partitions=PARTITIONS))
    await ask_in_bulk(process.address, range(10))
    process.kill()
    async with reading(process.address, filed) as intake:
        intake.own(ALL)
        with running_log(tmp_path / "log", port=process.port):
            await until(lambda: len(filed.sessions) == 10)
    assert sorted(filed.sessions) == sessions(range(10))


async def test_a_position_that_the_log_does_not_have_ends_the_process(log: str, filed: _Filed) -> None:
    record = Record(topic=ANALYSIS_BACKFILL.name, partition=0, offset=1000, timestamp_ms=0, key=b"s-1", value=b"{}")
    await filed.file([record])
    intake = BulkIntake(ANALYSIS_BACKFILL, log=LogConnection(log), positions=filed.index.positions, file=filed.file)
    intake.own(ALL)
    with pytest.raises(StageCrashed, match="no longer has"):
        await asyncio.wait_for(intake.run(), 20)


class _Bench:
    """Stages with a lane in bulk, which share one log and one ledger."""

    def __init__(self, log: str, folder: Path) -> None:
        self.log = log
        self.folder = folder
        self.ledger_file = folder / "ledger"

    def running(self, name: str, answer: Answer = answer_stored) -> AbstractAsyncContextManager[None]:
        worker = _BulkWorker(self.ledger_file, answer=answer, concurrency=3)
        stage = make_stage(worker, log=self.log, data_dir=self.folder / name)
        return running(stage, log=self.log, data_dir=self.folder / name)

    async def until_outcomes(self, count: int) -> None:
        async def is_there() -> bool:
            return await count_records(self.log, RECORDINGS) >= count

        await until(is_there)

    def assert_each_done_once(self, numbers: range) -> None:
        assert read_ledger(self.ledger_file) == {f"s-{number} 1": 1 for number in numbers}


@pytest.mark.both_logs
async def test_bulk_work_is_done_once_while_another_member_joins_and_an_index_is_lost(log: str, tmp_path: Path) -> None:
    bench = _Bench(log, tmp_path)

    async def take_a_moment(request: DownloadRecording, attempt: int) -> Outcome:
        await asyncio.sleep(0.05)
        return stored(request, attempt)

    await ask_in_bulk(log, range(80))
    async with bench.running("one", take_a_moment):
        await bench.until_outcomes(10)
        async with bench.running("two", take_a_moment):
            await bench.until_outcomes(80)
    bench.assert_each_done_once(range(80))
    for file in (tmp_path / "one").glob("recordings.sqlite3*"):
        file.unlink()
    async with bench.running("one"):
        await ask_in_bulk(log, range(70, 90))
        await bench.until_outcomes(90)
    bench.assert_each_done_once(range(90))
