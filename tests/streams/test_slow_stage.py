"""Slow stages on a real log and real Faust, with a worker that keeps a ledger."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from postcall.errors import LogMismatch
from postcall.log import encode, open_record
from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.records import NewRecord
from postcall.requests import DownloadRecording
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import DEAD_LETTERS, RECORDING_REQUESTS, RECORDINGS
from tests.logs.embedded import log_in_thread
from tests.streams.ledger_worker import Answer, LedgerWorker, answer_stored, make_stage, read_ledger
from tests.streams.log_contents import PARTITIONS, append_all, count_records, read_all, read_ids
from tests.streams.requests import AT, download, request_record, stored
from tests.streams.running import running
from tests.waiting import eventually

pytestmark = pytest.mark.both_logs


class Bench:
    """A stage that can be run again and again on one log and one data directory."""

    def __init__(self, log: str, data_dir: Path) -> None:
        self.log = log
        self.data_dir = data_dir
        self.ledger_file = data_dir / "ledger"

    def running(self, answer: Answer = answer_stored, *, concurrency: int = 4) -> AbstractAsyncContextManager[None]:
        worker = LedgerWorker(self.ledger_file, answer=answer, concurrency=concurrency)
        stage = make_stage(worker, log=self.log, data_dir=self.data_dir)
        return running(stage, log=self.log, data_dir=self.data_dir)

    async def request(self, *numbers: int) -> None:
        await append_all(self.log, [request_record(number) for number in numbers])

    async def until_outcomes(self, count: int) -> None:
        async def is_there() -> bool:
            return await count_records(self.log, RECORDINGS) >= count

        await eventually(is_there)

    @property
    def ledger(self) -> dict[str, int]:
        return dict(read_ledger(self.ledger_file))


@contextlib.contextmanager
def another_log(data_dir: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener, log_in_thread(data_dir, listener):
        host, port = listener.getsockname()
        yield f"{host}:{port}"


@pytest.fixture
def bench(log: str, tmp_path: Path) -> Bench:
    return Bench(log, tmp_path)


async def test_an_outcome_names_the_request_that_led_to_it(bench: Bench) -> None:
    await bench.request(1)
    async with bench.running():
        await bench.until_outcomes(1)
    (asked,) = await read_all(bench.log, RECORDING_REQUESTS)
    (outcome,) = await read_all(bench.log, RECORDINGS)
    envelope = open_record(outcome)
    assert (envelope.source, envelope.causation) == ("recordings", str(asked.position))
    assert outcome.key == asked.key


async def test_no_more_work_is_under_way_than_allowed(bench: Bench) -> None:
    under_way, most = 0, 0

    async def count(request: DownloadRecording, attempt: int) -> Outcome:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return stored(request, attempt)

    await bench.request(*range(30))
    async with bench.running(count, concurrency=3):
        await bench.until_outcomes(30)
    assert most == 3


async def test_an_answer_to_another_request_is_a_failure_of_ours(bench: Bench) -> None:
    async def answer_another(request: DownloadRecording, attempt: int) -> Outcome:
        return stored(download(99) if read_ledger(bench.ledger_file).total() == 1 else request, attempt)

    await bench.request(1)
    async with bench.running(answer_another):
        await bench.until_outcomes(1)
    assert bench.ledger == {"s-1 1": 2}


@pytest.mark.embedded_only("it is about the index")
async def test_a_full_disk_is_waited_for_and_sets_nothing_aside(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def fail_at_first(request: DownloadRecording, attempt: int) -> Outcome:
        if read_ledger(bench.ledger_file).total() == 1:
            raise OSError(28, "No space left on device")
        return stored(request, attempt)

    await bench.request(1)
    with caplog.at_level(logging.INFO):
        async with bench.running(fail_at_first):
            await bench.until_outcomes(1)
            await eventually(lambda: "Stage goes on" in caplog.text)
    assert "No space left on device" in caplog.text
    assert await count_records(bench.log, DEAD_LETTERS) == 0


async def test_what_is_no_request_is_a_dead_letter(bench: Bench) -> None:
    foreign = NewRecord(topic=RECORDING_REQUESTS.name, key=b"s-1", value=b"{}")
    misplaced = encode(stored(download(1), 1), source="recordings", time=AT)
    misplaced = NewRecord(
        topic=RECORDING_REQUESTS.name, key=misplaced.key, value=misplaced.value, headers=misplaced.headers
    )
    await append_all(bench.log, [foreign, misplaced, request_record(2)])
    async with bench.running():
        await bench.until_outcomes(1)

        async def are_set_aside() -> bool:
            return await count_records(bench.log, DEAD_LETTERS) == 2

        await eventually(are_set_aside)
    assert bench.ledger == {"s-2 1": 1}


async def test_work_that_outlasts_a_stop_is_begun_again(bench: Bench) -> None:
    begun = asyncio.Event()

    async def hang(_request: DownloadRecording, _attempt: int) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    await bench.request(1)
    async with bench.running(hang):
        await begun.wait()
    async with bench.running():
        await bench.until_outcomes(1)
    assert bench.ledger == {"s-1 1": 2}


@pytest.mark.parametrize(("count", "finding"), [(0, "the log ends at offset 0"), (400, "has another record at offset")])
async def test_another_log_is_noticed_be_it_shorter_or_longer(
    bench: Bench, tmp_path: Path, count: int, finding: str
) -> None:
    await bench.request(*range(40))
    async with bench.running():
        await bench.until_outcomes(40)
    with another_log(tmp_path / "another") as address:
        await create_topics(LogConnection(address), TopicSettings(partitions=PARTITIONS))
        await append_all(address, [request_record(number) for number in range(1000, 1000 + count)])
        other = Bench(address, bench.data_dir)
        with pytest.raises(LogMismatch, match=finding):
            async with other.running():
                pass
    assert len(bench.ledger) == 40


async def test_members_share_the_work_and_repeat_only_what_was_running(log: str, tmp_path: Path) -> None:
    async def take_a_moment(request: DownloadRecording, attempt: int) -> Outcome:
        await asyncio.sleep(0.05)
        return stored(request, attempt)

    total, concurrency = 400, 4
    first, second = Bench(log, tmp_path / "first"), Bench(log, tmp_path / "second")
    for bench in (first, second):
        bench.data_dir.mkdir()
    await first.request(*range(total))
    async with first.running(take_a_moment, concurrency=concurrency):
        async with second.running(take_a_moment, concurrency=concurrency):
            await eventually(lambda: len(second.ledger) >= 20)
        await first.until_outcomes(total)
    performed = read_ledger(first.ledger_file) + read_ledger(second.ledger_file)
    assert set(performed) == {f"s-{number} 1" for number in range(total)}
    assert performed.total() - total <= 2 * concurrency
    assert len(set(await read_ids(log, RECORDINGS))) == total
