"""Outcomes: what became of a request. `…Deferred` is not final: the work waits until `not_before`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from postcall.messages import SessionMessage, derive_id
from postcall.requests import Trigger
from postcall.topics import INSIGHTS, RECORDINGS, Topic


class Outcome(SessionMessage):
    """What all outcomes share: the request they answer, and the attempt, counted from 1."""

    is_final: ClassVar[bool] = True

    request_id: UUID
    attempt: int

    def identity(self, source: str) -> UUID:  # noqa: ARG002 - whoever did the work, it is the same outcome
        """Of the request's id and the attempt."""
        return derive_id("outcome", str(self.request_id), str(self.attempt))


class RecordingStored(Outcome):
    """The recording is in the store, verified."""

    topic: ClassVar[Topic] = RECORDINGS

    uri: str
    bytes: int
    sha256: str
    recording_duration_ms: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    codec: str | None = None
    stored_at: AwareDatetime


class RecordingFailed(Outcome):
    """The recording could not be had, and will not be tried again by itself."""

    topic: ClassVar[Topic] = RECORDINGS

    reason: str


class RecordingDeferred(Outcome):
    """Not now: the download is tried again."""

    topic: ClassVar[Topic] = RECORDINGS
    is_final: ClassVar[bool] = False

    not_before: AwareDatetime
    reason: str


class AnalysisOutcome(Outcome):
    """What all outcomes of an analysis carry: its key, and what it cost."""

    topic: ClassVar[Topic] = INSIGHTS

    analyzer: str
    revision: int
    input_hash: str
    trigger: Trigger
    occurred_at: AwareDatetime | None = None
    produced_at: AwareDatetime
    #: The model that answered; `local` is the analyzer that needs no network.
    model: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: Decimal | None = None
    model_latency_ms: int | None = None


class InsightExtracted(AnalysisOutcome):
    """The analyzer's result, in the shape of its schema."""

    result: dict[str, Any]


class AnalysisSkipped(AnalysisOutcome):
    """The analyzer was not run, for the reason given."""

    reason: str


class AnalysisFailed(AnalysisOutcome):
    """The analyzer was run and gave nothing usable."""

    reason: str


class AnalysisDeferred(AnalysisOutcome):
    """Not now: the analysis is tried again."""

    is_final: ClassVar[bool] = False

    not_before: AwareDatetime
    reason: str
