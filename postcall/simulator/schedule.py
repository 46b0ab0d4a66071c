"""What will be delivered, in which order, and what must come of it.

The mix is the vendor's at its worst: deliveries repeated byte for byte, updates before ends, old shapes, and one body
that was cut off on its way but signed all the same. A few calls are always in progress at once and interleave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from postcall.simulator.calls import write_calls
from postcall.simulator.decks import chance, deal, deck
from postcall.simulator.payloads import client_data, encode, message, session_end, session_start, session_update
from postcall.simulator.sessions import Session, plan_sessions

API_URL = "https://api.layercode.com/v1"

Kind = Literal["session.start", "message", "data", "session.end", "session.update"]

_CALLS_IN_PROGRESS = 8
#: Of twenty sessions, which deliveries come twice; what a session does not send cannot be repeated.
_REPEATS: tuple[tuple[Kind, ...], ...] = deck(
    (12, ()),
    (3, ("session.end",)),
    (2, ("session.update",)),
    (1, ("session.start",)),
    (1, ("message", "session.start")),
    (1, ("session.start", "message", "data", "session.end", "session.update")),
)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One POST that the vendor will make; the signature is made when it is sent."""

    session_id: str
    agent_id: str
    kind: Kind
    body: bytes
    #: The same bytes were delivered before.
    is_repeat: bool = False
    #: The body was cut off: signed, but no JSON.
    is_broken: bool = False
    #: How long before sending it was signed.
    signature_age_s: int = 0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must be there once everything is delivered and has settled."""

    calls: int
    webhooks: int
    sessions: int
    conversations: int
    turns: int
    recordings_stored: int
    recordings_unavailable: int
    #: Sessions whose end says that nothing is recorded; no update follows.
    recordings_off: int
    repeats: int
    #: Different broken bodies, however often each is delivered.
    broken_bodies: int


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Everything that the vendor knows and will send."""

    sessions: tuple[Session, ...]
    deliveries: tuple[Delivery, ...]
    expected: Expected


def plan_schedule(calls: int, *, seed: int, api_url: str = API_URL) -> Schedule:
    """The schedule of this many calls: the same bytes for the same arguments.

    `api_url` is the base that `recording_url` begins with, for a vendor that listens elsewhere.
    """
    sessions = plan_sessions(write_calls(calls, seed=seed), seed=seed)
    broken = chance(seed, "broken").randrange(len(sessions)) if sessions else None
    lanes = [
        _lane(session, seed=seed, api_url=api_url, is_cut_off_once=place == broken)
        for place, session in enumerate(sessions)
    ]
    by_start = sorted(range(len(sessions)), key=lambda place: sessions[place].started_at_ms)
    deliveries = tuple(_interleaved([lanes[place] for place in by_start], chance(seed, "interleaving")))
    return Schedule(sessions=sessions, deliveries=deliveries, expected=_expected(sessions, deliveries))


def _lane(session: Session, *, seed: int, api_url: str, is_cut_off_once: bool) -> list[Delivery]:
    """All deliveries of one session, in their order."""
    lane = list(_told_once(session, api_url))
    random = chance(seed, "repeats", session.session_id)
    for kind in deal(_REPEATS, session.call.index, seed, "repeats"):
        _repeat_one(lane, kind, random)
    if is_cut_off_once:
        _cut_off_one(lane)
    return lane


def _told_once(session: Session, api_url: str) -> Iterator[Delivery]:
    def delivery(kind: Kind, payload: dict[str, object]) -> Delivery:
        return Delivery(session_id=session.session_id, agent_id=session.agent_id, kind=kind, body=encode(payload))

    yield delivery("session.start", session_start(session))
    if session.sends_turns and session.channel == "web":
        yield delivery("data", client_data(session))
    for turn, said in enumerate(session.call.turns):
        if session.sends_turns and said.role == "user":
            yield delivery("message", message(session, turn))
    end = delivery("session.end", session_end(session))
    if session.recording == "off":
        yield end
        return
    update = delivery("session.update", session_update(session, api_url))
    yield from (update, end) if session.update_comes_first else (end, update)


def _repeat_one(lane: list[Delivery], kind: Kind, random: Random) -> None:
    places = [place for place, delivery in enumerate(lane) if delivery.kind == kind]
    if places:
        place = random.choice(places)
        lane.insert(random.randint(place + 1, len(lane)), replace(lane[place], is_repeat=True))


def _cut_off_one(lane: list[Delivery]) -> None:
    """Before the true end comes half of it, and once more after everything."""
    place = next(place for place, delivery in enumerate(lane) if delivery.kind == "session.end")
    half = replace(lane[place], body=lane[place].body[: len(lane[place].body) // 2], is_broken=True)
    lane.insert(place, half)
    lane.append(replace(half, is_repeat=True))


def _interleaved(lanes: Sequence[list[Delivery]], random: Random) -> Iterator[Delivery]:
    waiting = iter(lanes)
    in_progress = [iter(lane) for _, lane in zip(range(_CALLS_IN_PROGRESS), waiting, strict=False)]
    while in_progress:
        place = random.randrange(len(in_progress))
        delivery = next(in_progress[place], None)
        if delivery is not None:
            yield delivery
        elif (lane := next(waiting, None)) is not None:
            in_progress[place] = iter(lane)
        else:
            del in_progress[place]


def _expected(sessions: Sequence[Session], deliveries: Sequence[Delivery]) -> Expected:
    recordings = [session.recording for session in sessions]
    return Expected(
        calls=len(sessions),
        webhooks=len(deliveries),
        sessions=len({session.session_id for session in sessions}),
        conversations=len({session.conversation_id for session in sessions}),
        turns=sum(len(session.call.turns) for session in sessions),
        recordings_stored=recordings.count("completed"),
        recordings_unavailable=recordings.count("failed"),
        recordings_off=recordings.count("off"),
        repeats=sum(delivery.is_repeat for delivery in deliveries),
        broken_bodies=len({delivery.body for delivery in deliveries if delivery.is_broken}),
    )
