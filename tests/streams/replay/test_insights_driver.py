"""Runs of insights in bulk, on a real log with the real stage and a model that counts what it is paid for."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from functools import partial

import pytest

from postcall.dead_letters import dead_letter
from postcall.log import encode, open_record
from postcall.outcomes import InsightExtracted
from postcall.records import NewRecord, Record
from postcall.requests import AnalyzeSession
from postcall.topics import ANALYSIS_BACKFILL
from streams.plan import plan
from tests.projections.calls import FIRST_CALL_AT
from tests.projections.logbook import number_records
from tests.streams.log_contents import append_all, read_all
from tests.streams.replay.paid_model import COST_USD, PaidModel, ended, ended_record, session_of
from tests.streams.replay.past_calls import PastCalls
from tests.waiting import eventually

#: A busy machine may take its time.
until = partial(eventually, timeout_s=60)


@pytest.mark.both_logs
async def test_every_call_of_a_run_is_analyzed_once_however_often_it_is_run(calls: PastCalls, model: PaidModel) -> None:
    past = await calls.end_calls(*range(30))
    async with calls.stage():
        first = calls.driver(await calls.start(past))
        assert await calls.drive(first) is None
        second = calls.driver(await calls.start(past))
        assert await calls.drive(second) is None
    assert model.paid == Counter(call.session_id for call in past)
    assert (first.ledger.concluded, first.ledger.spent_usd) == (30, 30 * COST_USD)
    assert (second.ledger.concluded, second.ledger.spent_usd) == (30, Decimal(0))
    outcomes = await calls.outcomes()
    assert all(isinstance(outcome, InsightExtracted) and outcome.trigger == "replay" for outcome in outcomes)
    assert len(await calls.asked()) == 30, "what is known is not asked for"


async def test_a_replay_asks_for_the_very_work_of_the_live_path(calls: PastCalls) -> None:
    (past,) = await calls.end_calls(1)
    (live,) = [open_record(_placed(record)).message for record in plan(_placed(ended_record(past)), [_SUMMARY])]
    run = await calls.start([past])
    driving = asyncio.create_task(calls.drive(calls.driver(run)))
    await until(lambda: _has_count(calls, 1))
    driving.cancel()
    await asyncio.gather(driving, return_exceptions=True)
    (asked,) = await read_all(calls.address, ANALYSIS_BACKFILL)
    assert isinstance(live, AnalyzeSession)
    assert open_record(asked).message == live.model_copy(update={"trigger": "replay"})
    assert list(run.request_ids()) == [live.request_id]


async def test_the_selected_transcript_is_asked_for_and_one_that_is_gone_is_not_waited_for(
    calls: PastCalls, model: PaidModel
) -> None:
    poor, rich, gone = ended(1, turns=2), ended(1, turns=6), ended(2)
    await append_all(calls.address, [ended_record(event) for event in (poor, rich, poor)])
    async with calls.stage():
        driver = calls.driver(await calls.start([rich, gone]), budget_usd=COST_USD)
        assert await calls.drive(driver) is None, "a budget that the last call reaches stops nothing"
    (outcome,) = await calls.outcomes()
    assert isinstance(outcome, InsightExtracted)
    assert outcome.input_hash == rich.input_hash
    assert (driver.ledger.concluded, driver.ledger.total) == (1, 2)
    assert model.paid == {session_of(1): 1}


async def test_no_more_is_asked_for_than_the_window(calls: PastCalls, model: PaidModel) -> None:
    past = await calls.end_calls(*range(8))
    model.answering.close()
    async with calls.stage(concurrency=2):
        driver = calls.driver(await calls.start(past), window=4)
        driving = asyncio.create_task(calls.drive(driver))
        most = 0
        for concluded in range(8):
            await until(lambda: bool(model.answering.waiting))
            await until(lambda: driver.ledger.waiting == min(4, 8 - driver.ledger.concluded))
            most = max(most, len(await calls.asked()) - driver.ledger.concluded)
            model.answering.let_one_through()
            await until(lambda wanted=concluded + 1: driver.ledger.concluded == wanted)
        await driving
    assert most == 4
    assert model.paid.total() == 8


async def test_a_run_stops_at_its_budget_and_goes_on_with_a_larger_one(calls: PastCalls, model: PaidModel) -> None:
    past = await calls.end_calls(*range(12))
    run = await calls.start(past, budget_usd=5 * COST_USD)
    async with calls.stage():
        driver = calls.driver(run, window=2, budget_usd=5 * COST_USD)
        assert await calls.drive(driver) == "budget"
        assert driver.ledger.waiting == 0
        assert 5 * COST_USD <= driver.ledger.spent_usd <= 6 * COST_USD, "no more than was under way then"
        resumed = calls.driver(await calls.find(run.id), budget_usd=5 * COST_USD)
        assert await calls.drive(resumed) == "budget", "what the run has cost is in the log"
        assert await calls.drive(calls.driver(await calls.find(run.id), budget_usd=Decimal(1))) is None
    assert model.paid == Counter(call.session_id for call in past)


async def test_a_run_waits_for_what_an_earlier_driver_asked_for_and_asks_for_the_rest(
    calls: PastCalls, model: PaidModel
) -> None:
    past = await calls.end_calls(*range(10))
    run = await calls.start(past)
    first = asyncio.create_task(calls.drive(calls.driver(run, window=3)))
    await until(lambda: _has_count(calls, 3))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = calls.driver(await calls.find(run.id), window=3)
    driving = asyncio.create_task(calls.drive(second))
    await until(lambda: second.ledger.waiting == 3)
    assert len(await calls.asked()) == 3, "they fill the window"
    async with calls.stage():
        assert await driving is None
    assert model.paid == Counter(call.session_id for call in past)
    assert sorted(await calls.asked()) == sorted(call.session_id for call in past)


async def test_what_was_set_aside_is_not_waited_for(calls: PastCalls) -> None:
    past = await calls.end_calls(1)
    (live,) = plan(_placed(ended_record(past[0])), [_SUMMARY])
    letter = dead_letter(_placed(live), stage="insights", error_class="bug", reason="it always fails")
    await append_all(calls.address, [encode(letter, source="insights", time=FIRST_CALL_AT)])
    driver = calls.driver(await calls.start(past))
    assert await calls.drive(driver) is None
    assert dict(driver.ledger.fates) == {"set aside": 1}
    assert not await calls.asked()


class _Summary:
    name = "summary"
    revision = 1


_SUMMARY = _Summary()


def _placed(record: NewRecord) -> Record:
    """A record as if it had been read."""
    (placed,) = number_records([record])
    return placed


async def _has_count(calls: PastCalls, count: int) -> bool:
    return len(await calls.asked()) == count
