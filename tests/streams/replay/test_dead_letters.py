"""`postcall replay dead-letters` on a real log, a real warehouse and real stages."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.requests import DownloadRecording
from postcall.topics import DEAD_LETTERS, DECISIONS, RECORDINGS, Topic
from postcall.warehouse_queries import query_warehouse
from streams.replay import dead_letters_selection
from streams.replay.dead_letters_retry import Retrial
from streams.replay.dead_letters_run import retry_letters
from streams.replay.dead_letters_selection import select_letters
from tests.streams.deliveries import END_BODY, deliver, deliver_message, read_back
from tests.streams.ledger_worker import Answer, LedgerWorker, answer_stored, make_stage, read_ledger
from tests.streams.log_contents import append_all, count_records, read_ids
from tests.streams.replay.set_aside import GARBAGE, TODAY, SetAside
from tests.streams.requests import request_record, stored
from tests.streams.running import running
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def letters(log: str, tmp_path: Path) -> SetAside:
    return SetAside(log, tmp_path)


@pytest.mark.both_logs
async def test_what_todays_code_reads_is_derived_and_closed_and_the_rest_is_open_with_todays_reason(
    letters: SetAside,
) -> None:
    readable = [deliver_message(number) for number in (1, 2)]
    await letters.set_aside(readable[0], GARBAGE, readable[1], GARBAGE)
    await letters.project()
    assert letters.rows() == [("open", 1, 1), ("open", 1, 1), ("open", 1, 2)]
    assert letters.rows("session_id", table="sessions") == []
    assert await letters.try_again() == {"resolved": 2, "failed_again": 1}
    wanted = {derived.headers for record in readable for derived in TODAY(read_back(record))}
    wanted_ids = {dict(headers)["ce_id"].decode() for headers in wanted}
    assert set(await letters.events()) == wanted_ids
    # The warehouse has not read that yet: the same once more, with the same ids.
    assert await letters.try_again() == {"resolved": 2, "failed_again": 1}
    assert set(await letters.events()) == wanted_ids
    assert len(set(await read_ids(letters.log, DECISIONS))) == 2
    await letters.project()
    assert letters.rows() == [("open", 2, 2), ("resolved", 1, 1), ("resolved", 1, 1)]
    assert letters.rows("session_id", table="sessions") == [("s-1",), ("s-2",)]
    assert await letters.try_again() == {"failed_again": 1}
    await letters.project()
    assert letters.rows()[0] == ("open", 3, 2)


async def test_killed_or_stopped_in_the_middle_it_closes_all_of_them_the_next_time(
    letters: SetAside, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far apart, too: what the stage could read lies between them.
    readable = [deliver(END_BODY)] * 60
    first, second = ([deliver_message(number) for number in numbers] for numbers in (range(120), range(120, 240)))
    await letters.set_aside(*first, *readable, *second)
    await letters.project()
    monkeypatch.setattr(dead_letters_selection, "_PAGE_ROWS", 50)
    ask = partial(query_warehouse, configuration=letters.configuration)
    found = select_letters(ask, where="true) OR (true")
    assert len({letter.id for letter in found}) == 240
    before = set(await letters.events())
    killed = await letters.replay("--yes", fail_at="after_derived_before_decision")
    assert killed.returncode == -9
    assert len(set(await letters.events()) - before) == 100
    assert await letters.decisions() == []
    connection, today = LogConnection(letters.log), Retrial.of_today(letters.configuration)

    def stop(_: int) -> None:
        stopped.cancel()

    stopped = asyncio.create_task(retry_letters(found, today, log=connection, on_progress=stop))
    with pytest.raises(asyncio.CancelledError):
        await stopped
    assert len(await letters.decisions()) == 100
    assert await letters.try_again() == {"resolved": 240}
    assert len(set(await letters.events()) - before) == 240
    assert len({decision.dead_letter_id for decision in await letters.decisions()}) == 240


async def test_counts_come_first_and_without_a_yes_nothing_is_done(letters: SetAside) -> None:
    await letters.set_aside(deliver_message(1), deliver_message(2), GARBAGE)
    await letters.project()
    counted, unasked = [await letters.replay("--dry-run"), await letters.replay()]
    for ran in (counted, unasked):
        rows = [line.split() for line in ran.stdout.splitlines()]
        assert rows[1:] == [["normalize", "schema", "2"], ["normalize", "unreadable", "1"]]
    assert (counted.returncode, unasked.returncode) == (0, 2)
    (sentence,) = unasked.stderr.splitlines()
    assert "--yes" in sentence
    assert await letters.events() == []
    assert await letters.decisions() == []
    assert await count_records(letters.log, DEAD_LETTERS) == 3


async def test_a_condition_and_a_stage_choose_and_a_dismissal_closes(letters: SetAside) -> None:
    await letters.set_aside(deliver_message(1), GARBAGE)
    await letters.project()
    assert await letters.try_again("--stage", "plan") == {}
    assert await letters.try_again("--dismiss", "--where", "error_class = 'unreadable' -- or so") == {"dismissed": 1}
    await letters.project()
    assert letters.rows("error_class, state") == [("schema", "open"), ("unreadable", "dismissed")]
    refused = await letters.replay("--yes", "--where", "false); DROP TABLE dead_letters; --")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert await letters.events() == []


async def test_what_the_log_does_not_have_any_more_stays_open_until_dismissed(letters: SetAside) -> None:
    await append_all(letters.log, [deliver_message(number) for number in range(60)])
    # Of the second there is a record, but not the one that was set aside: another log, perhaps.
    for offset in (999, 3):
        await letters.point_at(offset=offset)
    await letters.project()
    assert await letters.try_again() == {"gone": 2}
    assert await letters.events() == []
    assert await letters.try_again("--dismiss") == {"dismissed": 2}
    await letters.project()
    assert letters.rows("state") == [("dismissed",), ("dismissed",)]


async def test_a_letter_of_a_stage_that_is_not_there_stays_open(letters: SetAside) -> None:
    await letters.point_at(offset=0, stage="of-tomorrow")
    await letters.project()
    assert await letters.try_again() == {"unknown_stage": 1}
    assert await letters.decisions() == []


@pytest.mark.both_logs
async def test_slow_work_is_asked_again_and_done_once_by_the_running_stage(letters: SetAside) -> None:
    ledger = letters.data_dir / "ledger"

    async def fail(request: DownloadRecording, attempt: int) -> Outcome:
        if request.session_id == "s-1":
            raise ZeroDivisionError
        return stored(request, attempt)

    def stage(answer: Answer) -> AbstractAsyncContextManager[None]:
        worker = LedgerWorker(ledger, answer=answer)
        return running(
            make_stage(worker, log=letters.log, data_dir=letters.data_dir), log=letters.log, data_dir=letters.data_dir
        )

    async def has(topic: Topic, count: int) -> bool:
        return await count_records(letters.log, topic) >= count

    await append_all(letters.log, [request_record(1), request_record(2)])
    async with stage(fail):
        await eventually(lambda: has(DEAD_LETTERS, 1), timeout_s=40)
        await letters.project()
        assert await letters.try_again() == {"asked_again": 1}
        await eventually(lambda: has(DEAD_LETTERS, 2), timeout_s=40)
    await letters.project()
    assert letters.rows("state, error_class, attempts, occurrences") == [("open", "bug", 6, 2)]
    tried = read_ledger(ledger)["s-1 1"]
    async with stage(answer_stored):
        assert await letters.try_again() == {"asked_again": 1}
        assert await letters.try_again() == {"asked_again": 1}
        await eventually(lambda: has(RECORDINGS, 2), timeout_s=40)
        await eventually(lambda: has(DECISIONS, 1), timeout_s=40)
    assert read_ledger(ledger) == {"s-1 1": tried + 1, "s-2 1": 1}
    await letters.project()
    assert letters.rows("state, attempts") == [("resolved", 6)]
    assert await letters.try_again() == {}
