"""From a delivery to domain events. A pure function: the same delivery always gives equal events.

Only type and session id are required. An unknown type gives no event; an update that is about no recording neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from postcall.deliveries import RawDelivery
from postcall.events import (
    ClientDataReceived,
    DomainEvent,
    RecordingReady,
    RecordingUnavailable,
    SessionEnded,
    SessionFetched,
    SessionStarted,
    TurnReceived,
    input_hash,
)
from postcall.sources.base import UnreadableBody
from postcall.sources.layercode.bodies import as_id, event_type_of, parse_body, session_id_of
from postcall.sources.layercode.fields import (
    Fields,
    as_list,
    as_milliseconds,
    as_number,
    as_object,
    as_text,
    as_time,
    as_word,
    seconds_as_milliseconds,
)
from postcall.sources.layercode.recordings import agent_in_url
from postcall.sources.layercode.transcripts import read_transcript

#: The three vocabularies of `recording_status`, as far as they say that there will be a recording, or none.
_IS_RECORDED: Final = {"enabled": True, "disabled": False, "in_progress": True, "completed": True}


def normalize_delivery(delivery: RawDelivery) -> Sequence[DomainEvent]:
    """The events that a delivery tells of.

    :raises UnreadableBody: it is no JSON object, or lacks a type or a session id.
    """
    parsed = parse_body(delivery.body)
    if delivery.signature == "rest":
        # The vendor's session record: it has no type, and its session is the one that was asked for.
        return _read_details(Fields(parsed), _require_session(parsed, delivery.session_id), delivery.agent_id)
    event_type = event_type_of(parsed)
    if event_type is None:
        raise UnreadableBody("The body has no type; every event of this vendor has one.", error_class="schema")
    session_id = _require_session(parsed, None)
    if event_type not in _READERS:
        return ()
    fields = Fields(parsed)
    fields.take(as_text, "type")
    return _READERS[event_type](fields, _read_shared(fields, session_id, delivery.agent_id))


def _require_session(parsed: dict[str, Any], known: str | None) -> str:
    session_id = session_id_of(parsed) or known
    if session_id is None:
        raise UnreadableBody("The body has no session_id, or one that is no text.", error_class="schema")
    return session_id


def _read_shared(fields: Fields, session_id: str, agent_in_path: str | None) -> dict[str, Any]:
    # The body is signed and the path is not, so the body's word on the agent counts first.
    agent_id = fields.take(as_id, "agent_id", "pipeline_id") or agent_in_path
    return {
        "session_id": session_id,
        "conversation_id": _read_conversation(fields),
        "agent_id": agent_id or agent_in_url(as_text(fields.look("recording_url"))),
        "from_number": fields.take(as_text, "from_phone_number"),
        "to_number": fields.take(as_text, "to_phone_number"),
        "metadata": _read_metadata(fields),
    }


def _read_conversation(fields: Fields) -> str | None:
    connection_id = fields.take(as_id, "connection_id")
    session_field = fields.take(as_id, "session_id")
    conversation_id = fields.take(as_id, "conversation_id")
    if connection_id is None or session_field is None:
        return conversation_id
    # Beside a connection_id, session_id was the conversation's name.
    if conversation_id not in {None, session_field}:
        fields.keep("conversation_id", conversation_id)
    return session_field


def _read_metadata(fields: Fields) -> dict[str, Any]:
    metadata = fields.take(as_object, "metadata")
    custom = fields.take(as_object, "custom_metadata")
    if metadata and custom:
        # Where both are there, neither can be told from the effective view: both are kept.
        fields.keep("metadata", metadata)
        fields.keep("custom_metadata", custom)
    return {**(metadata or {}), **(custom or {})}


def _read_start(fields: Fields, shared: dict[str, Any]) -> Sequence[DomainEvent]:
    turn_id = fields.take(as_id, "turn_id")
    return [SessionStarted(**shared, turn_id=turn_id, extensions=fields.left())]


def _read_message(fields: Fields, shared: dict[str, Any]) -> Sequence[DomainEvent]:
    turn_id = fields.take(as_id, "turn_id")
    text = fields.take(as_text, "text") or ""
    interruption = fields.take(as_object, "interruption_context")
    return [TurnReceived(**shared, turn_id=turn_id, text=text, interruption=interruption, extensions=fields.left())]


def _read_data(fields: Fields, shared: dict[str, Any]) -> Sequence[DomainEvent]:
    turn_id = fields.take(as_id, "turn_id")
    payload = fields.take(lambda raw: raw, "data")
    return [ClientDataReceived(**shared, turn_id=turn_id, payload=payload, extensions=fields.left())]


def _read_end(fields: Fields, shared: dict[str, Any]) -> Sequence[DomainEvent]:
    return [SessionEnded(**shared, **_read_record(fields), extensions=fields.left())]


def _read_update(fields: Fields, shared: dict[str, Any]) -> Sequence[DomainEvent]:
    status = as_word(fields.look("recording_status"))
    if status == "completed":
        return [_read_ready(fields, shared)]
    if status == "failed":
        fields.take(as_word, "recording_status")
        reason = fields.take(as_text, "error_message") or "The vendor's recording failed, and it gave no reason."
        return [RecordingUnavailable(**shared, reason=reason, extensions=fields.left())]
    return ()


def _read_ready(fields: Fields, shared: dict[str, Any]) -> DomainEvent:
    fields.take(as_word, "recording_status")
    url = fields.take(as_text, "recording_url")
    duration_ms = fields.take(seconds_as_milliseconds, "recording_duration")
    if url is None:
        reason = "The vendor says that the recording is completed, but sent no URL for it."
        return RecordingUnavailable(**shared, reason=reason, extensions=fields.left())
    return RecordingReady(**shared, url=url, recording_duration_ms=duration_ms, extensions=fields.left())


def _read_details(fields: Fields, session_id: str, agent_id: str | None) -> Sequence[DomainEvent]:
    fields.take(as_text, "type")
    shared = _read_shared(fields, session_id, agent_id)
    is_recorded = as_word(fields.look("recording_status")) == "completed"
    url = fields.take(as_text, "recording_url") if is_recorded else None
    record = _read_record(fields)
    is_complete = record["ended_at"] is not None and bool(record["transcript"])
    fetched = SessionFetched(**shared, **record, is_complete=is_complete, extensions=fields.left())
    return [fetched, RecordingReady(**shared, url=url)] if url is not None else [fetched]


def _read_record(fields: Fields) -> dict[str, Any]:
    started_at = fields.take(as_time, "started_at")
    ended_at = fields.take(as_time, "ended_at")
    duration_ms = fields.take(as_milliseconds, "duration_ms", "duration")
    if duration_ms is None and started_at is not None and ended_at is not None:
        duration_ms = as_milliseconds((ended_at - started_at).total_seconds() * 1000)
    transcript, rows_left = read_transcript(fields.take(as_list, "transcript") or [])
    if rows_left:
        fields.keep("transcript_rows", rows_left)
    return {
        "started_at": started_at,
        "ended_at": ended_at,
        "duration_ms": duration_ms,
        "latency_ms": fields.take(as_number, "latency_ms", "latency"),
        "user_speech_ms": fields.take(seconds_as_milliseconds, "transcription_duration_seconds"),
        "agent_speech_ms": fields.take(seconds_as_milliseconds, "tts_duration_seconds"),
        "from_country": fields.take(as_text, "from_phone_country"),
        "to_country": fields.take(as_text, "to_phone_country"),
        "country_code": fields.take(as_text, "country_code"),
        "ip_address": fields.take(as_text, "ip_address"),
        "recording_expected": fields.take(lambda raw: _IS_RECORDED.get(as_word(raw) or ""), "recording_status"),
        "transcript": transcript,
        "input_hash": input_hash(transcript),
    }


_READERS: Final[dict[str, Callable[[Fields, dict[str, Any]], Sequence[DomainEvent]]]] = {
    "session.start": _read_start,
    "message": _read_message,
    "data": _read_data,
    "session.end": _read_end,
    "session.update": _read_update,
}
