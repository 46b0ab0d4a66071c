"""Planning: a pure function from an event to requests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from postcall.errors import UnreadableRecord
from postcall.events import (
    DomainEvent,
    RecordingReady,
    RecordingUnavailable,
    SessionEnded,
    SessionFetched,
    SessionStarted,
    Turn,
    input_hash,
)
from postcall.log import encode, open_record
from postcall.messages import Message
from postcall.records import NewRecord
from postcall.requests import AnalyzeSession, DownloadRecording
from streams.plan import plan
from tests.streams.deliveries import read_back

AT = datetime(2026, 2, 3, 9, 16, 21, tzinfo=UTC)
TRANSCRIPT = (Turn(role="assistant", text="Hello."), Turn(role="user", text="My boiler is leaking. “Now”!"))


@dataclass(frozen=True)
class NamedAnalyzer:
    name: str
    revision: int


SUMMARY = NamedAnalyzer("summary", 1)
QUALITY = NamedAnalyzer("quality", 3)


def planned(event: DomainEvent, *analyzers: NamedAnalyzer) -> list[Message]:
    record = read_back(encode(event, source="layercode", time=AT), partition=1, offset=5)
    return [open_record(read_back(request)).message for request in plan(record, analyzers)]


def ended(**facts: object) -> SessionEnded:
    return SessionEnded.model_validate(
        {"session_id": "s-1", "transcript": TRANSCRIPT, "input_hash": input_hash(TRANSCRIPT), **facts}
    )


def test_a_ready_recording_is_downloaded() -> None:
    (request,) = planned(RecordingReady(session_id="s-1", agent_id="a-1", url="https://api.example/r"))
    assert request == DownloadRecording(
        session_id="s-1", vendor="layercode", agent_id="a-1", url="https://api.example/r"
    )


def test_an_ended_session_is_given_to_each_enabled_analyzer() -> None:
    requests = planned(ended(started_at="2026-02-03T10:14:02+01:00"), SUMMARY, QUALITY)
    assert [(r.analyzer, r.revision) for r in requests if isinstance(r, AnalyzeSession)] == [
        ("summary", 1),
        ("quality", 3),
    ]
    request = requests[0]
    assert isinstance(request, AnalyzeSession)
    assert request.input_hash == input_hash(TRANSCRIPT)
    assert json.loads(request.input)["turns"][1] == {"role": "user", "text": TRANSCRIPT[1].text}
    assert request.occurred_at == "2026-02-03T09:14:02+00:00"
    assert request.trigger == "live"


def test_without_times_of_its_own_a_session_happened_when_it_was_told() -> None:
    (request,) = planned(ended(), SUMMARY)
    assert isinstance(request, AnalyzeSession)
    assert request.occurred_at == AT.isoformat()


def test_an_empty_transcript_is_planned_too() -> None:
    (request,) = planned(ended(transcript=(), input_hash=input_hash(())), SUMMARY)
    assert isinstance(request, AnalyzeSession)
    assert json.loads(request.input) == {"turns": []}


@pytest.mark.parametrize(("is_complete", "count"), [(True, 1), (False, 0)])
def test_a_fetched_session_is_analyzed_once_it_is_complete(is_complete: bool, count: int) -> None:
    fetched = SessionFetched.model_validate({**ended().model_dump(), "is_complete": is_complete})
    assert len(planned(fetched, SUMMARY)) == count


@pytest.mark.parametrize(
    "event", [SessionStarted(session_id="s-1"), RecordingUnavailable(session_id="s-1", reason="encoder stopped")]
)
def test_other_events_ask_for_nothing(event: DomainEvent) -> None:
    assert planned(event, SUMMARY) == []


def test_the_same_words_heard_twice_are_one_analysis() -> None:
    first, second = (planned(ended(ended_at=at), SUMMARY)[0] for at in ("2026-02-03T09:16:20Z", "2026-02-04T00:00:00Z"))
    assert first.identity("plan") == second.identity("plan")


def test_another_revision_is_other_work() -> None:
    first, second = (planned(ended(), NamedAnalyzer("summary", revision))[0] for revision in (1, 2))
    assert first.identity("plan") != second.identity("plan")


def test_a_record_of_no_type_is_unreadable() -> None:
    with pytest.raises(UnreadableRecord):
        plan(read_back(NewRecord(topic="postcall.events-g1", key=None, value=b"{}")), [SUMMARY])
