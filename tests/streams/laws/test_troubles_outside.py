"""Laws of a vendor or a model in trouble: the stage pauses, and no request pays for it."""

from __future__ import annotations

from collections import Counter

import pytest

from postcall.log import open_record
from postcall.outcomes import Outcome
from tests.streams.laws.bench import Bench
from tests.streams.laws.outside import UNREACHABLE
from tests.streams.laws.subjects import Insights, LedgerWork, Recordings
from tests.streams.log_contents import read_all
from tests.waiting import eventually

SESSIONS = [f"s-{number}" for number in range(12)]
#: Stage, what all its requests get, and how many outcomes it may take to see that it is all of them.
TROUBLES = [
    pytest.param("embedded", Recordings, UNREACHABLE, 0, id="nobody listens at the vendor's"),
    pytest.param("embedded", Recordings, 503, 2, id="the vendor is down"),
    pytest.param("embedded", Insights, 401, 0, id="the model refuses the key"),
    pytest.param("embedded", Insights, 429, 2, id="the model asks for patience"),
    pytest.param("kafka", Insights, 429, 2, id="the model asks for patience-kafka", marks=pytest.mark.kafka),
    pytest.param("embedded", LedgerWork, 503, 0, id="a worker blames somebody"),
]


@pytest.mark.parametrize(("log_address", "bench", "trouble", "doubts"), TROUBLES, indirect=["log_address", "bench"])
async def test_trouble_outside_pauses_the_stage_and_uses_up_no_request(bench: Bench, trouble: int, doubts: int) -> None:
    await bench.outside.break_down(trouble)
    await bench.put(*SESSIONS)
    async with bench.running():
        await eventually(lambda: bench.is_paused, timeout_s=60)
        if trouble != UNREACHABLE:
            asked = bench.outside.asked.total()
            await eventually(lambda: bench.outside.asked.total() >= asked + 3, timeout_s=60)
        assert len(await outcomes(bench)) <= doubts
        await bench.outside.recover()
        await eventually(lambda: len(bench.outside.served) == len(SESSIONS), timeout_s=60)
        await eventually(lambda: not bench.is_paused)
    assert bench.outside.served == dict.fromkeys(SESSIONS, 1), "what was paid for was paid for again"
    finals = Counter(outcome.session_id for outcome in await outcomes(bench) if outcome.is_final)
    assert finals == dict.fromkeys(SESSIONS, 1)
    assert Counter(result.kind for result in await bench.results())[bench.subject.kind] == len(SESSIONS)
    assert len(await bench.results()) <= len(SESSIONS) + doubts
    assert not await bench.letters()


async def outcomes(bench: Bench) -> list[Outcome]:
    messages = [open_record(record).message for record in await read_all(bench.log, bench.subject.results)]
    return [message for message in messages if isinstance(message, Outcome)]
