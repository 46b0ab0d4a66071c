"""What the vendor knows of each call: ids, numbers, times, and how its webhooks will look.

Times start at a Monday that the seed chooses, never at today, and calls fill business hours from there. Phone numbers
come from the ranges that regulators keep for fiction, addresses from those kept for documentation: nobody is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256
from itertools import accumulate
from random import Random
from string import ascii_lowercase, digits
from typing import Literal

from postcall.simulator.calls import ScriptedCall
from postcall.simulator.decks import chance, deal, deck

Recording = Literal["completed", "failed", "off"]
Channel = Literal["phone", "web"]

_FIRST_MONDAY = datetime(2025, 9, 1, 8, tzinfo=UTC)
_CALLS_PER_DAY = 40
_OPENING_HOURS_MS = 10 * 3600 * 1000
_USER_MS_PER_WORD = 390
_ASSISTANT_MS_PER_WORD = 340


class Shape(Enum):
    """A generation of the vendor's payloads."""

    #: What the documentation of today shows.
    CURRENT = "current"
    #: `welcome` for session.start, numbers sent as text.
    WELCOME = "welcome"
    #: Mid-2025: `connection_id`, `pipeline_id`, upper-case type names, times in ISO 8601.
    CONNECTION_IDS = "connection-ids"


@dataclass(frozen=True, kw_only=True)
class _Habits:
    """What becomes of a session's recording, and when that is told."""

    recording: Recording
    update_comes_first: bool = False


_RECORDINGS: tuple[_Habits, ...] = deck(
    (12, _Habits(recording="completed")),
    (2, _Habits(recording="completed", update_comes_first=True)),
    (2, _Habits(recording="failed")),
    (1, _Habits(recording="failed", update_comes_first=True)),
    (3, _Habits(recording="off")),
)
_SHAPES = deck((14, Shape.CURRENT), (3, Shape.CONNECTION_IDS), (3, Shape.WELCOME))
#: Over what the caller speaks, and whether the agent's own webhook sends turns here beside the session webhook.
_CHANNELS: tuple[tuple[Channel, bool], ...] = deck(
    (9, ("phone", True)), (5, ("phone", False)), (4, ("web", True)), (2, ("web", False))
)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One connection, as the vendor remembers it."""

    call: ScriptedCall
    session_id: str
    conversation_id: str
    agent_id: str
    shape: Shape
    channel: Channel
    sends_turns: bool
    recording: Recording
    update_comes_first: bool
    from_number: str | None
    to_number: str | None
    country_code: str
    ip_address: str | None
    started_at_ms: int
    ended_at_ms: int
    turn_times_ms: tuple[int, ...]
    latency_ms: int
    customer_id: str

    @property
    def user_speech_s(self) -> float:
        """How long the caller spoke."""
        return sum(spoken_ms(turn.role, turn.text) for turn in self.call.turns if turn.role == "user") / 1000

    @property
    def assistant_speech_s(self) -> float:
        """How long the assistant spoke."""
        return sum(spoken_ms(turn.role, turn.text) for turn in self.call.turns if turn.role == "assistant") / 1000


def plan_sessions(calls: Sequence[ScriptedCall], *, seed: int) -> tuple[Session, ...]:
    """One session per call, in the calls' order; a call that continues another shares its conversation."""
    starts = _start_times(len(calls), seed)
    sessions: list[Session] = []
    for call, started_at_ms in zip(calls, starts, strict=True):
        session = _plan_session(call, started_at_ms, seed)
        if call.continues is not None:
            session = _continue(sessions[call.continues], session)
        sessions.append(session)
    return tuple(sessions)


def spoken_ms(role: str, text: str) -> int:
    """How long it takes to say this."""
    return len(text.split()) * (_USER_MS_PER_WORD if role == "user" else _ASSISTANT_MS_PER_WORD) + 200


def _start_times(count: int, seed: int) -> list[int]:
    monday = _FIRST_MONDAY + timedelta(weeks=seed % 20)
    random = chance(seed, "start times")
    moments = [
        monday + timedelta(days=place // _CALLS_PER_DAY // 5 * 7 + place // _CALLS_PER_DAY % 5)
        for place in range(count)
    ]  # fmt: skip
    return sorted(int(day.timestamp() * 1000) + random.randrange(_OPENING_HOURS_MS) for day in moments)


def _plan_session(call: ScriptedCall, started_at_ms: int, seed: int) -> Session:
    random = chance(seed, "session", call.index)
    habits = deal(_RECORDINGS, call.index, seed, "recordings")
    channel, sends_turns = deal(_CHANNELS, call.index, seed, "channels")
    turn_times_ms, ended_at_ms = _times(call, started_at_ms, random)
    by_phone = channel == "phone"
    return Session(
        call=call,
        session_id=_opaque_id(random, 24),
        conversation_id=_opaque_id(random, 24),
        agent_id=_agent_id(call.business),
        shape=deal(_SHAPES, call.index, seed, "shapes"),
        channel=channel,
        sends_turns=sends_turns,
        recording=habits.recording,
        update_comes_first=habits.update_comes_first,
        from_number=_fictional_number(call, random) if by_phone else None,
        to_number=_fictional_number(call, chance(0, "number of", call.business)) if by_phone else None,
        country_code={"german": "DE", "american": "US", "spanish": "US"}.get(call.accent, "GB"),
        ip_address=None if by_phone else f"203.0.113.{random.randrange(1, 255)}",
        started_at_ms=started_at_ms,
        ended_at_ms=ended_at_ms,
        turn_times_ms=turn_times_ms,
        latency_ms=random.randrange(380, 1150),
        customer_id=f"C-{random.randrange(10_000, 99_999)}",
    )


def _continue(cut_off: Session, session: Session) -> Session:
    """The same caller, back on another connection half a minute later."""
    shift_ms = cut_off.ended_at_ms + 31_000 - session.started_at_ms
    return replace(
        cut_off,
        call=session.call,
        session_id=session.session_id,
        recording=session.recording,
        update_comes_first=session.update_comes_first,
        started_at_ms=session.started_at_ms + shift_ms,
        ended_at_ms=session.ended_at_ms + shift_ms,
        turn_times_ms=tuple(moment + shift_ms for moment in session.turn_times_ms),
        latency_ms=session.latency_ms,
    )


def _times(call: ScriptedCall, started_at_ms: int, random: Random) -> tuple[tuple[int, ...], int]:
    """When each turn begins, and when the line is put down."""
    lengths_ms = [spoken_ms(turn.role, turn.text) + random.randrange(250, 1600) for turn in call.turns]
    *turn_times_ms, last_word_ms = accumulate(lengths_ms, initial=started_at_ms + random.randrange(600, 1900))
    return tuple(turn_times_ms), last_word_ms + random.randrange(150, 2500)


def _opaque_id(random: Random, length: int) -> str:
    return "".join(random.choices(ascii_lowercase + digits, k=length))


def _agent_id(business: str) -> str:
    """One agent per business, the same under every seed."""
    return sha256(business.encode()).hexdigest()[:8]


def _fictional_number(call: ScriptedCall, random: Random) -> str:
    """Kept free by Ofcom, the Bundesnetzagentur and the NANPA for films and documentation."""
    if call.accent == "german":
        return f"+493023125{random.randrange(1000):03}"
    if call.accent in ("american", "spanish"):
        return f"+1{random.choice((305, 415, 512))}55501{random.randrange(100):02}"
    prefix = random.choice(("+44207946{:04}", "+44113496{:04}", "+44161496{:04}", "+447700900{:03}"))
    return prefix.format(random.randrange(1000))
