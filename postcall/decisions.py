"""Decisions: what people decided, kept because nothing else in the log says it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from postcall.messages import Message, derive_id
from postcall.topics import DECISIONS, Topic, events_topic

#: What became of a dead letter: today's code got through the record, or a person let it be.
Resolution = Literal["replayed", "dismissed"]


class Decision(Message):
    """What all decisions share: a subject, which is also the key."""

    topic: ClassVar[Topic] = DECISIONS

    @property
    def subject(self) -> str:
        """What was decided about."""
        raise NotImplementedError

    def identity(self, source: str) -> UUID:  # noqa: ARG002 - who wrote it down is no part of it
        """Of what it says."""
        return derive_id(type(self).__name__, self.subject, self.canonical_json().decode())


class DeadLetterResolved(Decision):
    """A dead letter is no longer open. One that fails again afterwards has more attempts, and is open again."""

    dead_letter_id: UUID
    #: How often the record had failed by then.
    attempts: int
    resolution: Resolution

    @property
    def subject(self) -> str:
        """The dead letter's id."""
        return str(self.dead_letter_id)


class ReplayDecision(Decision):
    """What all decisions about a replay share."""

    run_id: UUID

    @property
    def subject(self) -> str:
        """The run's id."""
        return str(self.run_id)


class ReplaySelected(ReplayDecision):
    """Part of the work that a run asks for. All parts are written before the run starts, and fix what it may cost."""

    #: Counts the parts of a run, from 1.
    part: int
    #: Session id and input hash of each piece of work.
    work: list[tuple[str, str]]


class ReplayStarted(ReplayDecision):
    """Work is asked for in bulk. With its parts before it, this is everything that resuming it needs."""

    #: The stage that does the work.
    stage: str
    #: Which work, in the words of the stage's own replay.
    selection: dict[str, Any]
    #: How many requests were counted, in how many parts they were written, and how dear they may be at most.
    requests: int
    parts: int
    cost_usd: Decimal | None = None
    #: Nothing more is asked for once the run has cost so much.
    budget_usd: Decimal | None = None
    #: Where each partition ended of what the work is derived from, of the requests and of their outcomes:
    #: `{"postcall.events-g1": [812, 790]}`.
    ends: dict[str, list[int]]


class ReplayPaused(ReplayDecision):
    """Nothing more is asked for until the run is resumed."""

    reason: str
    #: Counts the pauses of a run, from 1.
    pause: int
    #: How many requests have their outcome, and what the run has cost by then.
    concluded: int
    spent_usd: Decimal


class ReplayFinished(ReplayDecision):
    """All of it was asked for, and has its outcome."""

    #: How many requests have their outcome, and how many were not found in the events any more.
    requests: int
    absent: int
    spent_usd: Decimal


Offsets = dict[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]


class CutOver(BaseModel):
    """Where the live stages of a generation begin, by partition."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: Of the deliveries, where `normalize` begins: what is before was derived again when the generation was made.
    webhooks: Offsets
    #: Of the generation's events, where `plan` begins: what is before was planned in the generation before.
    events: Offsets


class GenerationPromoted(Decision):
    """A generation of events is the live one from now on."""

    generation: Annotated[int, Field(ge=2, lt=10**9)]
    cut_over: CutOver
    at: AwareDatetime
    #: How many deliveries were read, events derived and records set aside.
    counts: dict[str, int]

    @property
    def subject(self) -> str:
        """The topic of its events."""
        return events_topic(self.generation).name
