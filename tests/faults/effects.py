"""What was done to the world outside: each download and each paid call, and when.

The stubs of vendor and model keep it. An effect may be had twice only if a process was ended, or others had to take it
for dead, while it was *in flight*: begun, and its outcome not in the log yet.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

# The stubs run beside the test: what a process asked before it died may be heard only now. Whoever goes on with its
# work needs longer.
_HEARD_LATE_S = 1.0

#: Of each session, when each outcome was sent to the log, as its record says; wall clock.
Outcomes = Mapping[str, Sequence[float]]


@dataclass(kw_only=True, eq=False, slots=True)
class Effect:
    """One of them, by the wall clock; without an end it is under way."""

    session_id: str
    began_at_s: float = field(default_factory=time.time)
    ended_at_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Disturbance:
    """From when to when work may have been cut off, or hidden from whoever goes on with it."""

    what: str
    from_s: float
    to_s: float


class Effects:
    """All of one kind, in the order in which they began."""

    def __init__(self) -> None:
        self.made: list[Effect] = []

    @contextlib.contextmanager
    def noted(self, session_id: str) -> Iterator[None]:
        """Note one that lasts as long as the block."""
        effect = Effect(session_id=session_id)
        self.made.append(effect)
        try:
            yield
        finally:
            effect.ended_at_s = time.time()

    @property
    def counts(self) -> Counter[str]:
        """How often each session had it."""
        return Counter(effect.session_id for effect in self.made)

    @property
    def under_way(self) -> set[str]:
        """The sessions that are having it."""
        return {effect.session_id for effect in self.made if effect.ended_at_s is None}

    @property
    def repeated(self) -> set[str]:
        """The sessions that had it more than once."""
        return {session_id for session_id, count in self.counts.items() if count > 1}

    def doubled(self) -> list[Effect]:
        """Those that were followed by another one for the same session."""
        latest: dict[str, Effect] = {}
        doubled = []
        for effect in self.made:
            if effect.session_id in latest:
                doubled.append(latest[effect.session_id])
            latest[effect.session_id] = effect
        return doubled

    def in_flight(self, disturbances: Iterable[Disturbance], outcomes: Outcomes) -> list[Effect]:
        """Those that were in flight at one of these: they may be had once more, and no others."""
        disturbances = list(disturbances)
        return [effect for effect in self.made if any(is_hit(effect, by, outcomes) for by in disturbances)]


def is_hit(effect: Effect, by: Disturbance, outcomes: Outcomes) -> bool:
    """Whether an effect was in flight then."""
    sent = [at_s for at_s in outcomes.get(effect.session_id, ()) if at_s >= effect.began_at_s]
    return effect.began_at_s <= by.to_s + _HEARD_LATE_S and (not sent or min(sent) >= by.from_s)
