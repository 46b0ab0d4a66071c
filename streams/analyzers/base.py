"""What an analyzer is, what it is given, and what may become of an analysis."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from postcall.events import Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Analyzer:
    """One revision of an analyzer. A revision that has been released never changes: a better one is another revision.

    `instructions` are constant, so that nothing a caller says can become part of them.
    """

    name: str
    revision: int
    instructions: str
    output: type[BaseModel]


class SpokenTurn(BaseModel):
    """Who said what."""

    model_config = ConfigDict(frozen=True)

    role: Role
    text: str


class Transcript(BaseModel):
    """An analyzer's input, as `postcall.events.analyzer_input` writes it."""

    model_config = ConfigDict(frozen=True)

    turns: tuple[SpokenTurn, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nobody said anything."""
        return not any(turn.text.strip() for turn in self.turns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What an analysis took; None is what is not known, never nothing."""

    model: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: Decimal | None = None
    model_latency_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """A result that fits the analyzer's schema."""

    result: dict[str, Any]
    usage: Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Not analyzed, and why; nothing was spent."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Analyzed, with nothing usable as the result."""

    reason: str
    usage: Usage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unavailable:
    """The model could not be asked."""

    reason: str
    retry_after_s: float | None = None
    #: It is the same for every call: nobody listens, or a key, a name or a bill is wrong until a person acts.
    concerns_all: bool = False
    #: Whether the model was asked at all.
    was_asked: bool = True
    usage: Usage | None = None


Verdict = Extracted | Skipped | Failed | Unavailable


class Engine(Protocol):
    """What runs analyzers: a model over the network, or the rules that need none."""

    #: For the log line at the start: what answers, and where.
    description: str

    async def analyze(self, analyzer: Analyzer, transcript: Transcript) -> Verdict:
        """Analyze one transcript that is not empty.

        Costs at most what the usage of the verdict says, calls whose answer never came aside.

        :raises Exception: only for failures of our own code.
        """

    async def close(self) -> None:
        """Let go of connections."""
