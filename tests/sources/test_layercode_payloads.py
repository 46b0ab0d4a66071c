"""Every payload shape of Layercode becomes the right domain event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

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
)
from postcall.messages import canonical_json
from postcall.sources.base import UnreadableBody
from tests.sources.payloads import make_delivery, make_source, read_payload

E = TypeVar("E", bound=DomainEvent)

SESSION = "k3v9q0example0session001"
CONVERSATION = "c7m2example0conversation"


def normalize_payload(name: str, kind: type[E], **delivery: Any) -> E:
    [event] = make_source().normalize(make_delivery(read_payload(name), **delivery))
    assert isinstance(event, kind)
    return event


def normalize_object(**fields: Any) -> list[DomainEvent]:
    return list(make_source().normalize(make_delivery(canonical_json({"session_id": "s1", **fields}))))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_session_start_is_session_started() -> None:
    event = normalize_payload("session_start", SessionStarted)
    assert event == SessionStarted(
        session_id=SESSION,
        conversation_id=CONVERSATION,
        turn_id="t-0001",
        from_number="+442071838750",
        to_number="+15005550006",
        metadata={"tenant": "acme"},
    )


def test_message_is_turn_received_with_its_interruption() -> None:
    event = normalize_payload("message", TurnReceived)
    assert (event.text, event.turn_id) == ("My boiler is leaking.", "t-0002")
    assert event.interruption == {
        "previous_turn_interrupted": True,
        "words_heard": 4,
        "text_heard": "Thanks for calling Acme",
        "assistant_turn_id": "t-0001",
    }
    assert event.extensions == {}


def test_data_is_client_data_received() -> None:
    event = normalize_payload("data", ClientDataReceived)
    assert event.payload == {"button": "confirm_slot", "slot": "09:30"}


def test_session_end_is_session_ended_with_everything_in_our_units() -> None:
    event = normalize_payload("session_end", SessionEnded)
    assert (event.session_id, event.conversation_id, event.agent_id) == (SESSION, CONVERSATION, "qz81example")
    assert event.started_at == moment("2026-02-03T09:14:02.117Z")
    assert event.ended_at == moment("2026-02-03T09:16:20.940Z")
    assert (event.duration_ms, event.user_speech_ms, event.agent_speech_ms) == (138823, 31400, 48900)
    assert (event.latency_ms, event.country_code, event.ip_address) == (640, "GB", None)
    assert event.recording_expected is True
    assert event.transcript == (
        Turn(
            role="assistant", text="Acme Plumbing, how can I help?", spoken_at=moment("2026-02-03T09:14:03.500+00:00")
        ),
        Turn(role="user", text="My boiler is leaking.", spoken_at=moment("2026-02-03T09:14:09.020+00:00")),
    )
    assert event.extensions == {}


def test_completed_update_is_recording_ready_and_tells_the_agent() -> None:
    event = normalize_payload("session_update_completed", RecordingReady)
    assert event.url.endswith("/agents/qz81example/sessions/k3v9q0example0session001/recording")
    assert (event.agent_id, event.recording_duration_ms) == ("qz81example", 138_000)
    assert event.metadata == {"crm_id": "A-991"}
    assert event.extensions == {}


def test_failed_update_is_recording_unavailable_with_the_vendors_reason() -> None:
    event = normalize_payload("session_update_failed", RecordingUnavailable)
    assert (event.session_id, event.reason) == ("k3v9q0example0session002", "encoder stopped")


def test_an_update_without_metadata_or_numbers_is_read() -> None:
    event = normalize_payload("session_update_bare", RecordingReady)
    assert (event.agent_id, event.recording_duration_ms) == ("pcz36kx4", 27_000)


def test_session_details_are_session_fetched() -> None:
    event = normalize_payload("session_details", SessionFetched, signature="rest")
    assert (event.from_country, event.to_country, event.duration_ms) == ("GB", "US", 138823)
    assert (event.is_complete, event.recording_expected) == (True, True)
    assert [(turn.role, turn.text, turn.latency_ms) for turn in event.transcript] == [
        ("assistant", "Acme Plumbing, how can I help?", None),
        ("user", "My boiler is leaking.", None),
        ("assistant", "I can book a visit.", 640),
    ]
    assert event.extensions == {}


def test_session_details_with_a_recording_are_also_recording_ready() -> None:
    body = read_payload("session_details_completed")
    fetched, ready = make_source().normalize(make_delivery(body, signature="rest"))
    assert isinstance(fetched, SessionFetched)
    assert fetched.is_complete is False
    assert isinstance(ready, RecordingReady)
    assert ready.url == "https://api.layercode.com/v1/agents/ag1/sessions/s1/recording"
    assert ready.agent_id == "ag1"


def test_session_details_are_read_in_both_row_shapes() -> None:
    event = normalize_payload("session_details_role_rows", SessionFetched, signature="rest")
    assert [(turn.role, turn.text, turn.latency_ms) for turn in event.transcript] == [
        ("user", "Hi", None),
        ("assistant", "Hello", 413),
    ]
    assert event.recording_expected is None
    assert event.extensions == {"recording_status": "not_available"}


def test_session_details_that_name_no_session_belong_to_the_one_asked_for() -> None:
    delivery = make_delivery(b'{"agent_id":"ag1"}', signature="rest", session_id="s9")
    [event] = make_source().normalize(delivery)
    assert event.session_id == "s9"


@pytest.mark.parametrize("name", ["old_message_with_connection", "old_session_start", "old_session_end"])
def test_beside_a_connection_id_the_session_id_is_the_conversation(name: str) -> None:
    event = normalize_payload(name, DomainEvent)
    assert (event.session_id, event.conversation_id) == ("lc_conn_1", "lc_conv_1")
    assert make_source().identify(read_payload(name)).session_id == "lc_conn_1"


@pytest.mark.parametrize("name", ["old_session_start", "old_welcome"])
def test_old_names_of_session_start_are_the_same_event(name: str) -> None:
    assert normalize_payload(name, SessionStarted).turn_id == "t0"
    assert make_source().identify(read_payload(name)).event_type == "session.start"


def test_a_pipeline_id_is_the_agent() -> None:
    assert normalize_payload("old_session_start", SessionStarted).agent_id == "pl1"


def test_timestamps_are_read_as_iso_numeric_text_and_float() -> None:
    event = normalize_payload("old_session_end", SessionEnded)
    assert [turn.spoken_at for turn in event.transcript] == [
        datetime(2025, 8, 1, 10, 0, 0, tzinfo=UTC),
        datetime(2025, 8, 1, 10, 0, 3, tzinfo=UTC),
        datetime(2025, 8, 1, 10, 0, 9, 500, tzinfo=UTC),
    ]


def test_custom_metadata_overlays_metadata_and_both_are_kept() -> None:
    event = normalize_payload("both_metadata_keys", SessionStarted)
    assert event.metadata == {"tenant": "b", "crm_id": "1"}
    assert event.extensions == {"metadata": {"tenant": "a", "crm_id": "1"}, "custom_metadata": {"tenant": "b"}}


def test_fields_of_a_wrong_type_are_kept_aside_and_fail_nothing() -> None:
    event = normalize_payload("session_end_drifted", SessionEnded)
    assert event.conversation_id == "17"
    assert (event.agent_id, event.started_at, event.ended_at, event.duration_ms) == (None, None, None, None)
    assert (event.latency_ms, event.from_number, event.recording_expected, event.metadata) == (None, None, None, {})
    assert event.extensions == {
        "agent_id": {"id": "x"},
        "started_at": "yesterday",
        "ended_at": [],
        "duration": "long",
        "latency": True,
        "from_phone_number": 49,
        "recording_status": "paused",
        "metadata": "none",
        "hangup_reason": "caller",
        "transcript_rows": {
            "0": {"role": "system"},
            "1": {"text": 5},
            "2": "row",
            "3": {"timestamp": "soon", "confidence": 0.9},
        },
    }


def test_roles_that_we_do_not_know_are_unknown() -> None:
    event = normalize_payload("session_end_drifted", SessionEnded)
    assert [(turn.role, turn.text) for turn in event.transcript] == [("unknown", "note"), ("user", "Hi")]


def test_an_empty_call_is_valid() -> None:
    event = normalize_payload("session_end_empty", SessionEnded)
    assert (event.transcript, event.duration_ms, event.recording_expected) == ((), None, False)


@pytest.mark.parametrize(
    ("fields", "duration_ms"),
    [
        ({"duration": 1}, 1),
        ({"duration": 7_200_000_000}, 7_200_000_000),
        ({"duration_ms": 5.4}, 5),
        ({"duration": None, "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:01:00+00:00"}, 60_000),
        ({"duration": None, "started_at": "2026-01-01T00:01:00Z", "ended_at": "2026-01-01T00:00:00Z"}, None),
        ({"duration": -3}, None),
        ({"duration": 18446744073709551615}, None),
    ],
)
def test_a_duration_is_known_by_its_field_and_never_by_its_size(
    fields: dict[str, Any], duration_ms: int | None
) -> None:
    [event] = normalize_object(type="session.end", **fields)
    assert isinstance(event, SessionEnded)
    assert event.duration_ms == duration_ms


def test_the_bodys_agent_counts_before_the_paths_and_the_path_before_none() -> None:
    assert normalize_payload("session_end", SessionEnded, agent_id="from-path").agent_id == "qz81example"
    assert normalize_payload("message", TurnReceived, agent_id="from-path").agent_id == "from-path"


def test_a_message_without_text_is_a_turn_without_words() -> None:
    [event] = normalize_object(type="message", text=None)
    assert isinstance(event, TurnReceived)
    assert event.text == ""


def test_completed_without_a_url_is_visible_as_unavailable() -> None:
    [event] = normalize_object(type="session.update", recording_status="completed")
    assert isinstance(event, RecordingUnavailable)
    assert "no URL" in event.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "user.transcript.interim_delta", "content": "he"},
        {"type": "session.update", "note": "nothing about a recording"},
        {"type": "session.update", "recording_status": "queued"},
    ],
)
def test_what_says_nothing_to_us_is_no_event(fields: dict[str, Any]) -> None:
    assert normalize_object(**fields) == []


def test_nul_characters_become_replacement_characters_everywhere() -> None:
    body = b'{"type":"message","session_id":"s\\u00001","text":"a\\u0000b","\\u0000":["\\u0000"]}'
    [event] = make_source().normalize(make_delivery(body))
    assert isinstance(event, TurnReceived)
    assert (event.session_id, event.text, event.extensions) == ("s\ufffd1", "a\ufffdb", {"\ufffd": ["\ufffd"]})
    assert make_source().identify(body).session_id == "s\ufffd1"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b'{"type":"session.end","session_id":"s1","transcript":[{"ro', "not JSON"),
        (b'{"type":"message","session_id":"s1","x":NaN}', "not JSON"),
        (b'{"type":"message","session_id":"s1","x":1e400}', "not JSON"),
        (b'{"type":"message","session_id":"s1","text":"\\ud800"}', "not JSON"),
        (b'{"type":"message","session_id":"s1","text":"\xff"}', "not JSON"),
        (b'\xef\xbb\xbf{"type":"message","session_id":"s1"}', "not JSON"),
        (b"[]", "an array"),
        (b"null", "null"),
        (b"12", "a number"),
        (b'{"session_id":"s1"}', "no type"),
        (b'{"type":5,"session_id":"s1"}', "no type"),
        (b'{"type":"message"}', "no session_id"),
        (b'{"type":"message","session_id":""}', "no session_id"),
        (b'{"type":"message","session_id":["s1"]}', "no session_id"),
        (b'{"type":"message","session_id":"s1","x":' + b"[" * 200 + b"]" * 200 + b"}", "nested"),
        (b'{"type":"message","session_id":"s1","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "not JSON"),
    ],
)
def test_a_body_that_cannot_be_read_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableBody, match=reason):
        make_source().normalize(make_delivery(body))
