"""Live work is never behind work in bulk: on the real insights stage, with a model that holds back what it likes."""

from __future__ import annotations

from collections import Counter
from functools import partial

from postcall.lag import read_log_state
from postcall.log import encode
from postcall.outcomes import InsightExtracted
from postcall.records import NewRecord
from postcall.requests import AnalyzeSession, Trigger
from postcall.topics import ANALYSIS_BACKFILL, ANALYSIS_REQUESTS, INSIGHTS
from streams.plan import ask_for_analyses
from tests.projections.calls import FIRST_CALL_AT
from tests.streams.log_contents import append_all, count_records
from tests.streams.replay.paid_model import PaidModel, ended, session_of
from tests.streams.replay.past_calls import PastCalls
from tests.waiting import eventually

#: A busy machine may take its time.
until = partial(eventually, timeout_s=60)


class _Summary:
    name = "summary"
    revision = 1


async def test_live_requests_are_done_while_a_bulk_backlog_waits(calls: PastCalls, model: PaidModel) -> None:
    model.answering.close()
    await append_all(calls.address, [_asked(number, "replay") for number in range(10)])
    async with calls.stage(concurrency=3):
        await until(lambda: len(model.answering.waiting) == 2)
        begun = set(model.order)
        # One of them waits in bulk already.
        wanted_twice = next(number for number in range(10) if session_of(number) not in begun)
        live = [wanted_twice, *range(10, 14)]
        await append_all(calls.address, [_asked(number, "live") for number in live])
        await until(lambda: _are_filed(calls))
        await until(lambda: len(model.answering.waiting) == 3)
        # Who was asked first is answered first: the places of those in bulk become free while live ones still wait.
        for _ in range(7):
            await until(lambda: bool(model.answering.waiting))
            model.answering.let_one_through()
        await until(lambda: _has_outcomes(calls, 7))
        assert set(model.order[:2]) == begun
        assert set(model.order[2:7]) == {session_of(number) for number in live}, "nothing in bulk began before them"
        assert await _triggers(calls) == {"live": 5, "replay": 2}
        model.answering.open()
        await until(lambda: _has_outcomes(calls, 14))
    assert await _triggers(calls) == {"live": 5, "replay": 9}
    assert model.paid == Counter(session_of(number) for number in range(14)), "what is asked for in both is paid once"


def _asked(number: int, trigger: Trigger) -> NewRecord:
    request = _request(number, trigger)
    topic = ANALYSIS_REQUESTS if trigger == "live" else ANALYSIS_BACKFILL
    return encode(request, source="plan", time=FIRST_CALL_AT, topic=topic)


def _request(number: int, trigger: Trigger) -> AnalyzeSession:
    (request,) = ask_for_analyses(ended(number), FIRST_CALL_AT, [_Summary()], trigger=trigger)
    return request


async def _are_filed(calls: PastCalls) -> bool:
    """Whether the stage has committed all live requests, which it does once they are in its index."""
    lags = {stage.stage: stage.lag for stage in (await read_log_state(calls.log)).stages}
    return lags["insights"] == 0


async def _has_outcomes(calls: PastCalls, count: int) -> bool:
    return await count_records(calls.address, INSIGHTS) == count


async def _triggers(calls: PastCalls) -> Counter[str]:
    outcomes = await calls.outcomes()
    return Counter(outcome.trigger for outcome in outcomes if isinstance(outcome, InsightExtracted))
