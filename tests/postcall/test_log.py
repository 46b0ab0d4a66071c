"""Messages: sealed and opened in one place, identified by what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcall.dead_letters import dead_letter
from postcall.errors import UnreadableRecord
from postcall.events import SessionEnded, SessionStarted, Turn, analyzer_input, input_hash
from postcall.log import MESSAGE_TYPES, encode, open_record
from postcall.records import Headers, NewRecord, Position, Record
from postcall.requests import AnalyzeSession, DownloadRecording

MOMENT = datetime(2026, 2, 3, 9, 14, 2, 117000, tzinfo=UTC)
TURNS = (Turn(role="assistant", text="Acme, hello?", spoken_at=MOMENT), Turn(role="user", text="Es ist undicht, äh."))
ENDED = SessionEnded(session_id="s1", ended_at=MOMENT, transcript=TURNS, input_hash=input_hash(TURNS))


def read_back(record: NewRecord) -> Record:
    """The record as a consumer would get it."""
    return Record(
        topic=record.topic,
        partition=1,
        offset=7,
        timestamp_ms=0,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )


def test_a_message_comes_back_as_it_was() -> None:
    cause = Position(topic="postcall.webhooks", partition=0, offset=41)
    envelope = open_record(read_back(encode(ENDED, source="layercode", time=MOMENT, causation=cause)))
    assert envelope.message == ENDED
    assert (envelope.source, envelope.time, envelope.causation) == ("layercode", MOMENT, "postcall.webhooks/0/41")
    assert str(envelope.position) == f"{ENDED.topic.name}/1/7"


def test_records_are_cloudevents_in_binary_mode() -> None:
    record = read_back(encode(ENDED, source="layercode", time=MOMENT))
    assert record.key == b"s1"
    assert record.header("ce_specversion") == "1.0"
    assert record.header("ce_type") == "SessionEnded"
    assert record.header("ce_subject") == "s1"
    assert record.header("ce_dataschema") == "SessionEnded/1"
    assert record.header("content-type") == "application/json"
    assert json.loads(record.value)["transcript"][1]["text"] == "Es ist undicht, äh."


def test_the_same_event_learned_later_has_the_same_id() -> None:
    later = datetime(2026, 3, 1, tzinfo=UTC)
    first = read_back(encode(ENDED, source="layercode", time=MOMENT))
    again = read_back(encode(ENDED, source="layercode", time=later))
    assert first.header("ce_id") == again.header("ce_id")
    assert first.value == again.value


@pytest.mark.parametrize(
    "other",
    [
        SessionEnded(session_id="s2", ended_at=MOMENT, transcript=TURNS, input_hash=input_hash(TURNS)),
        SessionEnded(session_id="s1", ended_at=MOMENT, transcript=TURNS[:1], input_hash=input_hash(TURNS[:1])),
        SessionStarted(session_id="s1"),
    ],
)
def test_events_that_say_something_else_have_other_ids(other: SessionEnded) -> None:
    assert other.identity("layercode") != ENDED.identity("layercode")
    assert ENDED.identity("vapi") != ENDED.identity("layercode")


def test_a_request_is_identified_by_its_work() -> None:
    request = AnalyzeSession(session_id="s1", analyzer="summary", revision=1, input="{}", input_hash="aa")
    replayed = request.model_copy(update={"trigger": "replay", "occurred_at": "2026-01-01T00:00:00Z"})
    revised = request.model_copy(update={"revision": 2})
    assert request.identity("plan") == replayed.identity("by hand") != revised.identity("plan")
    download = DownloadRecording(session_id="s1", vendor="layercode", url="https://a/1")
    assert download.request_id != download.model_copy(update={"url": "https://a/2"}).request_id


def test_the_analyzer_receives_only_who_said_what() -> None:
    assert json.loads(analyzer_input(TURNS)) == {
        "turns": [{"role": "assistant", "text": "Acme, hello?"}, {"role": "user", "text": "Es ist undicht, äh."}]
    }
    without_times = tuple(turn.model_copy(update={"spoken_at": None}) for turn in TURNS)
    assert input_hash(without_times) == input_hash(TURNS)


def test_repeats_of_a_record_are_one_dead_letter() -> None:
    record = Record(topic="postcall.webhooks", partition=0, offset=1, timestamp_ms=0, key=None, value=b'{"type":')
    repeat = Record(topic="postcall.webhooks", partition=2, offset=9, timestamp_ms=5, key=None, value=b'{"type":')
    first, second = (
        dead_letter(each, stage="normalize", error_class="unreadable", reason="cut off") for each in (record, repeat)
    )
    assert first.id == second.id
    assert (second.kafka_partition, second.kafka_offset) == (2, 9)
    assert first.subject is None
    assert encode(first, source="normalize", time=MOMENT).key is None


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_type", "ce_id", "ce_time", "ce_source", "key-id", "other"]),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([name.encode() for name in MESSAGE_TYPES]),
            st.just(b"2026-02-03T09:14:02+00:00"),
            st.just(str(UUID(int=1)).encode()),
        ),
    ),
    max_size=6,
).map(tuple)
VALUES = st.one_of(st.binary(max_size=200), st.just(ENDED.canonical_json()))


@given(headers=HEADERS, value=VALUES)
def test_opening_any_bytes_gives_a_message_or_says_unreadable(headers: Headers, value: bytes) -> None:
    record = Record(topic="t", partition=0, offset=0, timestamp_ms=0, key=None, value=value, headers=headers)
    try:
        envelope = open_record(record)
    except UnreadableRecord:
        return
    assert type(envelope.message).__name__ == record.header("ce_type")


def test_a_sealed_value_is_not_guessed_at() -> None:
    record = read_back(encode(ENDED, source="layercode", time=MOMENT))
    sealed = Record(
        topic=record.topic,
        partition=0,
        offset=0,
        timestamp_ms=0,
        key=record.key,
        value=record.value,
        headers=(*record.headers, ("key-id", b"k1")),
    )
    with pytest.raises(UnreadableRecord, match="sealed"):
        open_record(sealed)
