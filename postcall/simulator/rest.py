"""The vendor's REST side: session details and recordings, behind a Bearer key.

Answers follow the life of each session (`SessionStage`): unknown until its start was sent, without an end while it
lives, and with a recording only once that was announced. One recording answers 503 the first time, as services do.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from enum import IntEnum
from hmac import compare_digest
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from postcall.simulator.payloads import iso_moment
from postcall.simulator.recordings import render_recording
from postcall.simulator.schedule import Delivery, Schedule
from postcall.simulator.sessions import Session


class SessionStage(IntEnum):
    """How far a session has come, as its deliveries told."""

    UNKNOWN = 0
    LIVE = 1
    ENDED = 2
    RECORDED = 3


class SessionStore:
    """What the vendor would answer about each session by now."""

    def __init__(self, schedule: Schedule) -> None:
        self._sessions = {session.session_id: session for session in schedule.sessions}
        self._stages = dict.fromkeys(self._sessions, SessionStage.UNKNOWN)
        recorded = [session.session_id for session in schedule.sessions if session.recording == "completed"]
        self._unwell = set(recorded[:1])
        self._unfetched = set(recorded)
        #: How often the recording of each session was served.
        self.recordings_served: Counter[str] = Counter()
        self.all_recordings_served = asyncio.Event()
        self._note_if_all_served()

    def advance(self, delivery: Delivery) -> None:
        """Bring the session to where this delivery says that it is; called before the delivery is sent."""
        told = {"session.end": SessionStage.ENDED, "session.update": SessionStage.RECORDED}
        stage = SessionStage.LIVE if delivery.is_broken else told.get(delivery.kind, SessionStage.LIVE)
        self._stages[delivery.session_id] = max(stage, self._stages[delivery.session_id])

    def find(self, agent_id: str, session_id: str) -> tuple[Session, SessionStage] | None:
        """The session and its stage, if this agent has one."""
        session = self._sessions.get(session_id)
        if session is None or session.agent_id != agent_id or not self._stages[session_id]:
            return None
        return session, self._stages[session_id]

    def note_served(self, session_id: str) -> None:
        """Count a recording that was handed out."""
        self.recordings_served[session_id] += 1
        self._unfetched.discard(session_id)
        self._note_if_all_served()

    def _note_if_all_served(self) -> None:
        if not self._unfetched:
            self.all_recordings_served.set()

    def recover(self, session_id: str) -> bool:
        """True once for the session whose recording fails the first time."""
        was_unwell = session_id in self._unwell
        self._unwell.discard(session_id)
        return was_unwell


def build_rest(store: SessionStore, *, api_key: str) -> Starlette:
    """The application under `/v1`."""

    def refusal(request: Request) -> Response | None:
        given = request.headers.get("authorization", "").encode()
        is_known = compare_digest(given, f"Bearer {api_key}".encode())
        return None if is_known else JSONResponse({"error": "invalid api key"}, status_code=401)

    async def details(request: Request) -> Response:
        if refused := refusal(request):
            return refused
        found = store.find(request.path_params["agent"], request.path_params["session"])
        return _not_found() if found is None else JSONResponse(session_details(*found))

    async def recording(request: Request) -> Response:
        if refused := refusal(request):
            return refused
        found = store.find(request.path_params["agent"], request.path_params["session"])
        return _not_found() if found is None else _recording(store, *found)

    prefix = "/v1/agents/{agent}/sessions/{session}"
    return Starlette(routes=[Route(prefix, details), Route(f"{prefix}/recording", recording)])


def session_details(session: Session, stage: SessionStage) -> dict[str, Any]:
    """The session as the REST API tells it: other names than the webhooks, and a transcript in pairs."""
    details: dict[str, Any] = {
        "session_id": session.session_id,
        "agent_id": session.agent_id,
        "started_at": iso_moment(session.started_at_ms),
        "metadata": {"customer_id": session.customer_id},
        "from_phone_number": session.from_number,
        "to_phone_number": session.to_number,
        "ip_address": session.ip_address,
        "country_code": session.country_code,
        "recording_status": _recording_status(session, stage),
    }
    if stage < SessionStage.ENDED:
        return details
    return details | {
        "ended_at": iso_moment(session.ended_at_ms),
        "duration_ms": session.ended_at_ms - session.started_at_ms,
        "transcription_duration_seconds": round(session.user_speech_s, 1),
        "tts_duration_seconds": round(session.assistant_speech_s, 1),
        "latency_ms": session.latency_ms,
        "transcript": _transcript_rows(session),
    }


def _recording_status(session: Session, stage: SessionStage) -> str:
    if session.recording != "completed":
        return "not_available"
    return "completed" if stage is SessionStage.RECORDED else "in_progress"


def _transcript_rows(session: Session) -> list[dict[str, Any]]:
    """A row is what the caller said and what was answered; the greeting stands alone."""
    rows: list[dict[str, Any]] = []
    for turn, moment_ms in zip(session.call.turns, session.turn_times_ms, strict=True):
        if turn.role == "assistant" and rows and rows[-1]["assistant_message"] is None:
            rows[-1] |= {"assistant_message": turn.text, "latency_ms": session.latency_ms}
            continue
        row = {"timestamp": moment_ms, "user_message": None, "assistant_message": None, "latency_ms": None}
        rows.append(row | {f"{turn.role}_message": turn.text})
    return rows


def _recording(store: SessionStore, session: Session, stage: SessionStage) -> Response:
    if session.recording != "completed":
        return JSONResponse({"error": "recording not available"}, status_code=404)
    if stage is not SessionStage.RECORDED:
        return JSONResponse({"error": "recording in progress"}, status_code=409)
    if store.recover(session.session_id):
        return JSONResponse({"error": "temporarily unavailable"}, status_code=503)
    store.note_served(session.session_id)
    return Response(render_recording(session), media_type="audio/wav")


def _not_found() -> Response:
    return JSONResponse({"error": "session not found"}, status_code=404)
