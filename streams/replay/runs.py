"""A run of requests in bulk: what it asks for, and what the log says became of that.

Everything here follows from records of the log, which may be applied in any order and any number of times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from postcall.dead_letters import dead_letter_id
from postcall.decisions import ReplayStarted
from postcall.errors import UnreadableRecord
from postcall.log import open_record
from postcall.outcomes import AnalysisFailed, AnalysisOutcome, AnalysisSkipped
from postcall.records import Record
from postcall.requests import AnalyzeSession
from postcall.topics import ANALYSIS_BACKFILL, DEAD_LETTERS, INSIGHTS

#: What became of a request in the end.
Fate = Literal["done", "skipped", "failed", "set aside"]

_STAGE: Final = "insights"
#: What counts where the log tells several, as in the table `insights`.
_RANKS: Final[dict[Fate, int]] = {"set aside": 0, "skipped": 1, "failed": 2, "done": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run as its decisions tell it."""

    started: ReplayStarted
    #: The input hash of each session that was selected.
    work: Mapping[str, str]
    pauses: int = 0
    is_finished: bool = False

    @property
    def id(self) -> UUID:
        """Names the run."""
        return self.started.run_id

    def request_ids(self) -> dict[UUID, str]:
        """The request of each selected session, which has the same id whoever asks for it."""
        analyzer, revision = self.started.selection["analyzer"], self.started.selection["revision"]
        return {_request_id(session_id, analyzer, revision, key): session_id for session_id, key in self.work.items()}


class RunLedger:
    """What was asked for, what has its outcome, and what that cost."""

    def __init__(self, run: Run) -> None:
        self._ends = run.started.ends
        self._sessions = run.request_ids()
        self._keys = {session_id.encode() for session_id in run.work}
        self._letters = {dead_letter_id(_STAGE, str(request_id)): request_id for request_id in self._sessions}
        self._asked: set[UUID] = set()
        self._fates: dict[UUID, Fate] = {}
        # Kept beside, since they are looked at with every outcome.
        self._waiting: set[UUID] = set()
        self._paid: set[tuple[UUID, int, datetime]] = set()
        #: What this run has cost.
        self.spent_usd = Decimal(0)
        #: A model that answered in this run, and whose price nobody knows.
        self.unpriced_model: str | None = None

    @property
    def total(self) -> int:
        """How many requests the run is about."""
        return len(self._sessions)

    @property
    def concluded(self) -> int:
        """How many of them have their final outcome, or were set aside; whoever asked."""
        return len(self._fates)

    @property
    def waiting(self) -> int:
        """How many were asked for and have no outcome yet."""
        return len(self._waiting)

    @property
    def fates(self) -> Counter[Fate]:
        """How many ended how."""
        return Counter(self._fates.values())

    def wants(self, request_id: UUID) -> bool:
        """Whether a request is still to be asked for."""
        return request_id in self._sessions and request_id not in self._asked and request_id not in self._fates

    def note_asked(self, request_id: UUID) -> None:
        """A request was appended."""
        self._asked.add(request_id)
        if request_id not in self._fates:
            self._waiting.add(request_id)

    def apply(self, record: Record) -> None:
        """One record of the topics that a run is followed in."""
        if record.topic == ANALYSIS_BACKFILL.name:
            self._apply_request(record)
        elif record.topic == DEAD_LETTERS.name:
            self._apply_dead_letter(record)
        elif record.topic == INSIGHTS.name:
            self._apply_outcome(record)

    def _apply_request(self, record: Record) -> None:
        request_id = _read_id(record)
        if request_id in self._sessions and self._is_of_this_run(record):
            self.note_asked(request_id)

    def _apply_dead_letter(self, record: Record) -> None:
        request_id = self._letters.get(_read_id(record))
        if request_id is not None:
            self._note_fate(request_id, "set aside")

    def _apply_outcome(self, record: Record) -> None:
        if record.key not in self._keys:
            return
        try:
            outcome = open_record(record).message
        except UnreadableRecord:
            return
        if not isinstance(outcome, AnalysisOutcome) or outcome.request_id not in self._sessions:
            return
        if outcome.is_final:
            self._note_fate(outcome.request_id, _fate_of(outcome))
        if outcome.trigger == "replay" and self._is_of_this_run(record):
            self._note_cost(outcome)

    def _note_fate(self, request_id: UUID, fate: Fate) -> None:
        self._waiting.discard(request_id)
        self._fates[request_id] = max(self._fates.get(request_id, fate), fate, key=_RANKS.__getitem__)

    def _note_cost(self, outcome: AnalysisOutcome) -> None:
        # An analysis that a crash made twice was paid twice; an outcome that was appended twice was not.
        payment = (outcome.request_id, outcome.attempt, outcome.produced_at)
        if outcome.cost_usd is not None and payment not in self._paid:
            self._paid.add(payment)
            self.spent_usd += outcome.cost_usd
        elif outcome.cost_usd is None and outcome.tokens_in is not None:
            self.unpriced_model = outcome.model

    def _is_of_this_run(self, record: Record) -> bool:
        ends = self._ends.get(record.topic, ())
        return record.partition >= len(ends) or record.offset >= ends[record.partition]


def _fate_of(outcome: AnalysisOutcome) -> Fate:
    if isinstance(outcome, AnalysisFailed):
        return "failed"
    return "skipped" if isinstance(outcome, AnalysisSkipped) else "done"


def _request_id(session_id: str, analyzer: str, revision: int, key: str) -> UUID:
    request = AnalyzeSession(session_id=session_id, analyzer=analyzer, revision=revision, input="", input_hash=key)
    return request.request_id


def _read_id(record: Record) -> UUID:
    """A record's own id, without opening its value; one that has none is nobody's."""
    try:
        return UUID(record.header("ce_id") or "")
    except ValueError:
        return UUID(int=0)


def cut(work: Sequence[tuple[str, str]], size: int) -> list[list[tuple[str, str]]]:
    """Work in parts, each small enough for a record."""
    return [list(work[start : start + size]) for start in range(0, len(work), size)]
