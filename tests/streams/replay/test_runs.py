"""What the log says of a run: the same, whatever the order of its records and however often they come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from postcall.dead_letters import dead_letter
from postcall.decisions import ReplayStarted
from postcall.log import encode
from postcall.messages import Message
from postcall.outcomes import AnalysisDeferred, AnalysisFailed, AnalysisOutcome, AnalysisSkipped, InsightExtracted
from postcall.records import Record
from postcall.requests import AnalyzeSession
from postcall.topics import ANALYSIS_BACKFILL, EVENTS, INSIGHTS, Topic
from streams.replay.runs import Run, RunLedger
from tests.projections.calls import FIRST_CALL_AT

_KINDS: dict[type[AnalysisOutcome], dict[str, object]] = {
    InsightExtracted: {"result": {}},
    AnalysisSkipped: {"reason": "language"},
    AnalysisFailed: {"reason": "refusal"},
    AnalysisDeferred: {"reason": "busy", "not_before": FIRST_CALL_AT},
}
#: Outcomes and requests from this offset on are of the run.
_BEGIN = 5


def _run(sessions: int = 4) -> Run:
    started = ReplayStarted(
        run_id=UUID(int=1),
        stage="insights",
        selection={"analyzer": "summary", "revision": 1},
        requests=sessions,
        parts=1,
        ends={EVENTS.name: [9], ANALYSIS_BACKFILL.name: [_BEGIN], INSIGHTS.name: [_BEGIN]},
    )
    return Run(started=started, work={f"s-{number}": "hash" for number in range(sessions)})


def _request(number: int, *, revision: int = 1) -> AnalyzeSession:
    return AnalyzeSession(
        session_id=f"s-{number}", analyzer="summary", revision=revision, input="", input_hash="hash", trigger="replay"
    )


def _record(message: Message, *, offset: int = _BEGIN, topic: Topic | None = None) -> Record:
    new = encode(message, source="insights", time=FIRST_CALL_AT, topic=topic)
    return Record(
        topic=new.topic, partition=0, offset=offset, timestamp_ms=0, key=new.key, value=new.value, headers=new.headers
    )


def _outcome(
    number: int, kind: type[AnalysisOutcome] = InsightExtracted, attempt: int = 1, trigger: str = "replay",
    cost_usd: str | None = "0.5", revision: int = 1,
) -> AnalysisOutcome:  # fmt: skip
    request = _request(number, revision=revision)
    return kind.model_validate(
        {
            "session_id": request.session_id,
            "request_id": request.request_id,
            "attempt": attempt,
            "analyzer": "summary",
            "revision": revision,
            "input_hash": "hash",
            "trigger": trigger,
            "produced_at": FIRST_CALL_AT + timedelta(seconds=attempt),
            "model": "gpt-5-mini",
            "tokens_in": 10,
            "cost_usd": cost_usd and Decimal(cost_usd),
            **_KINDS[kind],
        }
    )


def _ledger(*records: Record) -> RunLedger:
    ledger = RunLedger(_run())
    for record in records:
        ledger.apply(record)
    return ledger


def _state(ledger: RunLedger) -> tuple[object, ...]:
    return ledger.fates, ledger.waiting, ledger.concluded, ledger.spent_usd, ledger.unpriced_model


_outcomes = st.builds(
    lambda number, kind, attempt, trigger, offset: _record(_outcome(number, kind, attempt, trigger), offset=offset),
    st.integers(0, 5),
    st.sampled_from(list(_KINDS)),
    st.integers(1, 3),
    st.sampled_from(["live", "replay"]),
    st.integers(0, 10),
)
_requests = st.builds(
    lambda number, offset: _record(_request(number), offset=offset, topic=ANALYSIS_BACKFILL),
    st.integers(0, 5),
    st.integers(0, 10),
)
_letters = st.builds(
    lambda number: _record(
        dead_letter(_record(_request(number)), stage="insights", error_class="bug", reason="it always fails")
    ),
    st.integers(0, 5),
)


@given(st.lists(_outcomes | _requests | _letters, max_size=20).flatmap(lambda all_: st.tuples(
    st.just(all_), st.permutations(all_ + all_[: len(all_) // 2])
)))  # fmt: skip
def test_order_and_repetition_change_nothing(lists: tuple[Sequence[Record], Sequence[Record]]) -> None:
    once, shuffled = lists
    assert _state(_ledger(*once)) == _state(_ledger(*shuffled))


def test_what_was_asked_for_waits_until_its_outcome_or_its_dead_letter() -> None:
    asked = [_record(_request(number), topic=ANALYSIS_BACKFILL) for number in range(3)]
    letter = dead_letter(asked[2], stage="insights", error_class="bug", reason="it always fails")
    ledger = _ledger(*asked, _record(_outcome(0)), _record(_outcome(1, AnalysisDeferred)), _record(letter))
    assert (ledger.waiting, ledger.concluded) == (1, 2)
    assert not ledger.wants(_request(1).request_id)
    assert ledger.wants(_request(3).request_id)
    assert dict(ledger.fates) == {"done": 1, "set aside": 1}


def test_a_run_has_cost_what_its_own_outcomes_say_repairs_and_attempts_included() -> None:
    ledger = _ledger(
        _record(_outcome(0, AnalysisDeferred, attempt=1)),
        _record(_outcome(0, AnalysisFailed, attempt=2)),
        _record(_outcome(1)),
        # Appended twice, of a live call, of before, of other work.
        _record(_outcome(1), offset=_BEGIN + 7),
        _record(_outcome(2, trigger="live")),
        _record(_outcome(3), offset=_BEGIN - 1),
        _record(_outcome(0, revision=2)),
        _record(_outcome(7)),
    )
    assert ledger.spent_usd == Decimal("1.5")
    assert ledger.concluded == 4, "whoever did it"


def test_an_answer_without_a_price_is_told() -> None:
    assert _ledger(_record(_outcome(0))).unpriced_model is None
    assert _ledger(_record(_outcome(0, cost_usd=None))).unpriced_model == "gpt-5-mini"
