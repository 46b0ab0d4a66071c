"""Writes webhook bodies as the vendor does, today's shape and older ones, byte for byte like its JavaScript.

The shapes differ in names and in how moments are written (`Shape`), never in what they say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from postcall.simulator.decks import chance
from postcall.simulator.recordings import recording_duration_s
from postcall.simulator.sessions import Session, Shape

Payload = dict[str, Any]

_OLD_TYPES = {"session.start": "SESSION_START", "message": "MESSAGE"}


def encode(payload: Mapping[str, Any]) -> bytes:
    """The body as `JSON.stringify` writes it."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def session_start(session: Session) -> Payload:
    """A connection was authorized; with the agent's own webhook it also asks for a greeting."""
    return {**_opening("session.start", session), "turn_id": turn_id(session, 0), **_custom_metadata(session)}


def message(session: Session, turn: int) -> Payload:
    """The caller said something; `turn` counts through the transcript."""
    text = session.call.turns[turn].text
    payload = {**_opening("message", session), "text": text, "turn_id": turn_id(session, turn)}
    if turn > 0 and _is_interruption(session, turn):
        payload["interruption_context"] = _interruption(session, turn - 1)
    return payload


def client_data(session: Session) -> Payload:
    """The web page sent something along."""
    return {
        **_opening("data", session),
        "data": {"page": "/contact", "widget": "call-button", "locale": session.call.language},
        "turn_id": turn_id(session, 0),
    }


def session_end(session: Session) -> Payload:
    """The call is over: everything but the recording."""
    agent_key = "pipeline_id" if session.shape is Shape.CONNECTION_IDS else "agent_id"
    return {
        **_opening("session.end", session),
        agent_key: session.agent_id,
        "started_at": iso_moment(session.started_at_ms),
        "ended_at": iso_moment(session.ended_at_ms),
        "duration": session.ended_at_ms - session.started_at_ms,
        "transcription_duration_seconds": round(session.user_speech_s, 1),
        "tts_duration_seconds": round(session.assistant_speech_s, 1),
        "latency": session.latency_ms,
        "ip_address": session.ip_address,
        "country_code": session.country_code,
        "recording_status": "disabled" if session.recording == "off" else "enabled",
        **_custom_metadata(session),
        "transcript": [
            {"role": turn.role, "text": turn.text, "timestamp": _moment(session, moment_ms)}
            for turn, moment_ms in zip(session.call.turns, session.turn_times_ms, strict=True)
        ],
    }


def session_update(session: Session, api_url: str) -> Payload:
    """The recording is ready, or never will be."""
    payload = {**_ids("session.update", session), "recording_status": session.recording}
    if session.recording == "completed":
        payload["recording_url"] = f"{api_url}/agents/{session.agent_id}/sessions/{session.session_id}/recording"
        payload["recording_duration"] = _plain_number(recording_duration_s(session))
    else:
        payload["error_message"] = "encoder stopped"
    if session.shape is Shape.CURRENT:
        payload["metadata"] = {"customer_id": session.customer_id}
    return payload


def iso_moment(moment_ms: int) -> str:
    """ISO 8601 with milliseconds and `Z`."""
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def turn_id(session: Session, turn: int) -> str:
    """The id of one turn, as the start, the messages and the interruptions of a session name it."""
    return f"t-{session.session_id[:6]}-{turn:03}"


def _opening(event_type: str, session: Session) -> Payload:
    payload = _ids(event_type, session)
    if session.from_number is not None:
        payload |= {"from_phone_number": session.from_number, "to_phone_number": session.to_number}
    return payload


def _ids(event_type: str, session: Session) -> Payload:
    if session.shape is Shape.CONNECTION_IDS:
        old_type = _OLD_TYPES.get(event_type, event_type)
        return {"type": old_type, "session_id": session.conversation_id, "connection_id": session.session_id}
    if session.shape is Shape.WELCOME and event_type == "session.start":
        event_type = "welcome"
    return {"type": event_type, "session_id": session.session_id, "conversation_id": session.conversation_id}


def _custom_metadata(session: Session) -> Payload:
    return {"custom_metadata": {"business": session.call.business, "trade": session.call.trade}}


def _moment(session: Session, moment_ms: int) -> int | str:
    if session.shape is Shape.CONNECTION_IDS:
        return iso_moment(moment_ms)
    return str(moment_ms) if session.shape is Shape.WELCOME else moment_ms


def _is_interruption(session: Session, turn: int) -> bool:
    return chance(0, "interruption", session.session_id, turn).random() < 0.08


def _interruption(session: Session, assistant_turn: int) -> Payload:
    words = session.call.turns[assistant_turn].text.split()
    heard = words[: max(1, len(words) * 2 // 3)]
    return {
        "previous_turn_interrupted": True,
        "words_heard": len(heard),
        "text_heard": " ".join(heard),
        "assistant_turn_id": turn_id(session, assistant_turn),
    }


def _plain_number(value: float) -> float | int:
    """As JavaScript writes it: 27, not 27.0."""
    return int(value) if value.is_integer() else value
