"""Anything that may be said of a call, in any order: what laws are held on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from postcall.dead_letters import DeadLetter, dead_letter
from postcall.decisions import DeadLetterResolved, Resolution
from postcall.events import (
    ClientDataReceived,
    DomainEvent,
    RecordingReady,
    RecordingUnavailable,
    SessionEnded,
    SessionFetched,
    SessionStarted,
    Turn,
    TurnReceived,
    input_hash,
)
from postcall.messages import Message, derive_id
from postcall.outcomes import (
    AnalysisDeferred,
    AnalysisFailed,
    AnalysisSkipped,
    InsightExtracted,
    RecordingDeferred,
    RecordingFailed,
    RecordingStored,
)
from postcall.records import Record
from tests.projections.logbook import Said

NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)
TRANSCRIPTS = (
    (),
    (Turn(role="assistant", text="Acme Plumbing, how can I help?", spoken_at=NOON),),
    (Turn(role="assistant", text="Acme."), Turn(role="user", text="My boiler is leaking.", latency_ms=640)),
    (Turn(role="assistant", text="Acme."), Turn(role="user", text="My boiler leaks.")),
)


@st.composite
def session_events(draw: st.DrawFn) -> Message:
    kinds: list[type[DomainEvent]] = [
        SessionStarted, TurnReceived, ClientDataReceived, SessionEnded, SessionFetched, RecordingReady,
        RecordingUnavailable,
    ]  # fmt: skip
    kind = draw(st.sampled_from(kinds))
    fields: dict[str, Any] = {
        "session_id": draw(st.sampled_from(["s1", "s2"])),
        "conversation_id": draw(st.sampled_from([None, "c1", "c2"])),
        "agent_id": draw(st.sampled_from([None, "agent"])),
        "from_number": draw(st.sampled_from([None, "+442079460001", "+442079460002"])),
        "metadata": draw(st.sampled_from([{}, {"tenant": "acme"}, {"tenant": "b", "crm": {"id": 1}}, {"crm": None}])),
    }
    if kind in {SessionEnded, SessionFetched}:
        transcript = draw(st.sampled_from(TRANSCRIPTS))
        fields |= {
            "started_at": draw(st.sampled_from([None, NOON])),
            "duration_ms": draw(st.sampled_from([None, 0, 138823])),
            "language": draw(st.sampled_from([None, "en"])),
            "recording_expected": draw(st.sampled_from([None, True, False])),
            "extensions": draw(st.sampled_from([{}, {"odd": 0.85}])),
            "transcript": transcript,
            "input_hash": input_hash(transcript),
        }
    extra: dict[type[DomainEvent], dict[str, Any]] = {
        TurnReceived: {"text": draw(st.sampled_from(["Hello", "It leaks"]))},
        SessionFetched: {"is_complete": draw(st.booleans())},
        RecordingReady: {"url": "https://vendor.example/recording"},
        RecordingUnavailable: {"reason": draw(st.sampled_from(["encoder stopped", "off"]))},
    }
    return kind(**fields, **extra.get(kind, {}))


@st.composite
def outcomes(draw: st.DrawFn) -> Message:
    work: dict[str, Any] = {
        "session_id": draw(st.sampled_from(["s1", "s2"])),
        "request_id": derive_id("request"),
        "attempt": draw(st.integers(1, 3)),
    }
    reason = draw(st.sampled_from(["gone", "too late"]))
    analysis = work | {
        "analyzer": "summary",
        "revision": draw(st.integers(1, 2)),
        "input_hash": input_hash(draw(st.sampled_from(TRANSCRIPTS))),
        "trigger": "live",
        "produced_at": NOON + timedelta(minutes=draw(st.integers(0, 2))),
        "cost_usd": draw(st.sampled_from([None, Decimal("0.0012")])),
    }
    result = draw(st.sampled_from([{}, {"summary": "A leak.", "sentiment": "neutral"}]))
    stored = {"uri": "recordings/s1.wav", "bytes": 44, "sha256": draw(st.sampled_from(["aa", "bb"])), "stored_at": NOON}
    return draw(
        st.sampled_from(
            [
                RecordingStored(**work, **stored),
                RecordingFailed(**work, reason=reason),
                RecordingDeferred(**work, reason=reason, not_before=NOON),
                InsightExtracted(**analysis, result=result),
                AnalysisFailed(**analysis, reason=reason),
                AnalysisSkipped(**analysis, reason=reason),
                AnalysisDeferred(**analysis, reason=reason, not_before=NOON),
            ]
        )
    )


def make_letter(*, body: bytes = b"{", offset: int = 0, attempts: int = 1, reason: str = "no JSON") -> DeadLetter:
    record = Record(topic="postcall.webhooks", partition=0, offset=offset, timestamp_ms=0, key=None, value=body)
    return dead_letter(record, stage="normalize", error_class="unreadable", reason=reason, attempts=attempts)


def resolve(letter: DeadLetter, *, resolution: Resolution = "replayed") -> DeadLetterResolved:
    return DeadLetterResolved(dead_letter_id=letter.id, attempts=letter.attempts, resolution=resolution)


@st.composite
def dead_letters(draw: st.DrawFn) -> Message:
    body, reason = draw(st.sampled_from([b"", b"{"])), draw(st.sampled_from(["no JSON", "no type"]))
    letter = make_letter(body=body, offset=draw(st.integers(0, 3)), attempts=draw(st.integers(1, 3)), reason=reason)
    resolution: Resolution | None = draw(st.sampled_from([None, "replayed", "dismissed"]))
    return resolve(letter, resolution=resolution) if resolution else letter


said = st.builds(
    Said,
    message=st.one_of(session_events(), outcomes(), dead_letters()),
    at=st.integers(0, 5).map(lambda minutes: NOON + timedelta(minutes=minutes)),
)
logs = st.lists(said, min_size=1, max_size=14)
