"""Domain events: what happened in a session, in the past tense and in no vendor's words.

Unknown vendor fields are kept under `extensions`. Times are UTC, lengths are in milliseconds.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postcall.messages import SessionMessage, canonical_json, derive_id, sha256_hex
from postcall.topics import EVENTS, Topic

Role = Literal["user", "assistant", "unknown"]


class Turn(BaseModel):
    """One thing said: by whom, and when if that is known."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Role
    text: str
    spoken_at: AwareDatetime | None = None
    #: From the caller's last word to the agent's first, where the vendor says so.
    latency_ms: int | None = None


class DomainEvent(SessionMessage):
    """What all events carry. `conversation_id` is None where the vendor did not send one."""

    topic: ClassVar[Topic] = EVENTS

    conversation_id: str | None = None
    agent_id: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    extensions: dict[str, Any] = Field(default_factory=dict)

    def identity(self, source: str) -> UUID:
        """Of source, session, type and content: the fiftieth copy of a delivery is the same event."""
        return derive_id(source, self.session_id, type(self).__name__, sha256_hex(self.canonical_json()))


class SessionStarted(DomainEvent):
    """A session was opened; one that never connects has no end."""

    turn_id: str | None = None


class TurnReceived(DomainEvent):
    """The caller said (or typed) something, while the call was going on."""

    turn_id: str | None = None
    text: str
    #: How the agent's turn before was cut short, as the vendor tells it.
    interruption: dict[str, Any] | None = None


class ClientDataReceived(DomainEvent):
    """The caller's client sent data that was not speech."""

    turn_id: str | None = None
    payload: Any = None


class SessionRecord(DomainEvent):
    """A finished session as a whole."""

    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    duration_ms: int | None = None
    latency_ms: float | None = None
    user_speech_ms: int | None = None
    agent_speech_ms: int | None = None
    from_country: str | None = None
    to_country: str | None = None
    country_code: str | None = None
    ip_address: str | None = None
    language: str | None = None
    #: Whether a recording is made at all; None where the vendor did not say.
    recording_expected: bool | None = None
    transcript: tuple[Turn, ...] = ()
    #: SHA-256 of what an analyzer receives of this transcript (`analyzer_input`).
    input_hash: str


class SessionEnded(SessionRecord):
    """The vendor announced the end, with the whole transcript."""


class SessionFetched(SessionRecord):
    """The vendor's own record, asked for over REST; authoritative once the session has ended there."""

    #: The vendor's record has an end and a transcript.
    is_complete: bool


class RecordingReady(DomainEvent):
    """The vendor has a recording to download."""

    url: str
    recording_duration_ms: int | None = None


class RecordingUnavailable(DomainEvent):
    """The vendor will have no recording of this session."""

    reason: str


def analyzer_input(transcript: tuple[Turn, ...]) -> bytes:
    """Exactly what an analyzer receives: canonical JSON of who said what, in order.

    Times and ids are left out, so the same words heard twice are one analysis.
    """
    return canonical_json({"turns": [{"role": turn.role, "text": turn.text} for turn in transcript]})


def input_hash(transcript: tuple[Turn, ...]) -> str:
    """SHA-256 of the analyzer's input."""
    return sha256_hex(analyzer_input(transcript))
