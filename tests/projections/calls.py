"""Finished calls as messages, made from a number: what the other rooms would append for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from postcall.deliveries import RawDelivery
from postcall.events import (
    RecordingReady,
    RecordingUnavailable,
    SessionEnded,
    SessionStarted,
    Turn,
    TurnReceived,
    input_hash,
)
from postcall.log import encode
from postcall.messages import Message
from postcall.outcomes import InsightExtracted, Outcome, RecordingStored
from postcall.records import NewRecord
from postcall.requests import AnalyzeSession, DownloadRecording

FIRST_CALL_AT = datetime(2026, 2, 3, 9, tzinfo=UTC)
_SENTIMENTS = ("happy", "neutral", "frustrated")


def make_call(number: int, *, turns: int = 6) -> Iterator[tuple[Message, str]]:
    """A call's messages with who says each: started, talked, ended, recorded or not, summarized."""
    session_id = f"session-{number:06}"
    started_at = FIRST_CALL_AT + timedelta(minutes=7 * number)
    common = {"session_id": session_id, "conversation_id": f"conversation-{number // 2:06}", "agent_id": "agent-1"}
    transcript = tuple(
        Turn(
            role="user" if seq % 2 else "assistant",
            text=f"Turn {seq} of call {number}: the boiler has been leaking since Tuesday.",
            spoken_at=started_at + timedelta(seconds=7 * seq),
        )
        for seq in range(turns)
    )
    yield SessionStarted(**common, from_number="+442079460001", metadata={"tenant": "acme"}), "layercode"
    yield TurnReceived(**common, text="The boiler leaks."), "layercode"
    ended = SessionEnded(
        **common,
        started_at=started_at,
        ended_at=started_at + timedelta(seconds=7 * turns),
        duration_ms=7000 * turns,
        latency_ms=640,
        language="en",
        recording_expected=number % 10 != 0,
        transcript=transcript,
        input_hash=input_hash(transcript),
        metadata={"crm_id": f"A-{number}"},
    )
    yield ended, "layercode"
    if number % 5 == 0:
        yield RecordingUnavailable(**common, reason="Recording is switched off."), "layercode"
    else:
        url = f"https://vendor.example/{session_id}/recording"
        yield RecordingReady(**common, url=url, recording_duration_ms=7000 * turns), "layercode"
        yield _stored(DownloadRecording(session_id=session_id, vendor="layercode", url=url), started_at), "recordings"
    yield _summarized(number, ended), "insights"


def make_delivery(number: int) -> NewRecord:
    """The raw webhook that announces a call's end."""
    return RawDelivery(
        receipt_id=f"receipt-{number:06}",
        source="layercode",
        body=b'{"type":"session.end","session_id":"session-%06d"}' % number,
        received_at=FIRST_CALL_AT + timedelta(minutes=7 * number),
        signature="verified",
        session_id=f"session-{number:06}",
        event_type="session.end",
    ).to_record()


def make_records(calls: range, *, turns: int = 6) -> list[NewRecord]:
    """Every record of these calls, each call's in order."""
    records = []
    for number in calls:
        records.append(make_delivery(number))
        for message, source in make_call(number, turns=turns):
            records.append(encode(message, source=source, time=FIRST_CALL_AT + timedelta(minutes=7 * number)))
    return records


def _stored(request: DownloadRecording, at: datetime) -> Outcome:
    return RecordingStored(
        session_id=request.session_id,
        request_id=request.request_id,
        attempt=1,
        uri=f"recordings/{request.session_id}.wav",
        bytes=96044,
        sha256="ab" * 32,
        recording_duration_ms=6000,
        sample_rate=8000,
        channels=1,
        codec="pcm",
        stored_at=at,
    )


def _summarized(number: int, ended: SessionEnded) -> Outcome:
    request = AnalyzeSession(
        session_id=ended.session_id, analyzer="summary", revision=1, input="", input_hash=ended.input_hash
    )
    assert ended.ended_at is not None
    return InsightExtracted(
        session_id=ended.session_id,
        request_id=request.request_id,
        attempt=1,
        analyzer="summary",
        revision=1,
        input_hash=ended.input_hash,
        trigger="live",
        occurred_at=ended.started_at,
        produced_at=ended.ended_at,
        model="local",
        tokens_in=120,
        tokens_out=40,
        cost_usd=Decimal("0.0012"),
        model_latency_ms=5,
        result={
            "summary": "The caller reported a leaking boiler. A visit was booked.",
            "intent": "book a repair",
            "follow_ups": ["send the plumber"] if number % 2 else [],
            "customer_name": "Ada" if number % 3 else None,
            "sentiment": _SENTIMENTS[number % 3],
        },
    )
