"""The worker of the insights stage: `AnalyzeSession` in; extracted, skipped, failed or deferred out.

With a key the model answers, without one the local rules do. A model that does not answer this call is asked again with
growing pauses, a bounded number of times. One that answers no call at all, or refuses the key, the account or its own
name, is blamed itself: the stage then pauses, and no analysis fails for it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from postcall.dead_letters import ErrorClass
from postcall.errors import SettingsError
from postcall.outcomes import AnalysisDeferred, AnalysisFailed, AnalysisSkipped, InsightExtracted, Outcome
from postcall.requests import AnalyzeSession
from postcall.settings import Configuration, Settings
from postcall.topics import ANALYSIS_BACKFILL, ANALYSIS_REQUESTS, INSIGHTS, Topic
from streams.analyzers import ANALYZERS
from streams.analyzers.base import Engine, Extracted, Failed, Skipped, Transcript, Unavailable, Usage, Verdict
from streams.analyzers.budget import DailyBudget
from streams.analyzers.prices import find_price
from streams.analyzers.settings import InsightSettings
from streams.retries import Backoff
from streams.worker import Blame, Performed

logger = logging.getLogger(__name__)

#: Eight attempts take about ten minutes.
_BACKOFF: Final = Backoff(first_s=2.0, factor=2.3, cap_s=300.0, retry_after_cap_s=900.0)
# An answer that cannot be used is repaired twice.
_CALLS_PER_ANALYSIS: Final = 3
_CLOSING_S: Final = 60.0


class InsightsWorker:
    """A `streams.worker.Worker`."""

    stage = "insights"
    requests: Topic = ANALYSIS_REQUESTS
    bulk_requests: Topic | None = ANALYSIS_BACKFILL
    outcomes: Topic = INSIGHTS
    error_class: ErrorClass = "model"

    def __init__(self, configuration: Configuration) -> None:
        self._settings = configuration.read(Settings)
        self._limits = configuration.read(InsightSettings)
        self.concurrency = self._settings.analysis_concurrency
        self._analyzers = {(analyzer.name, analyzer.revision): analyzer for analyzer in ANALYZERS}
        self.limit_s = _CALLS_PER_ANALYSIS * self._limits.analysis_timeout_s + _CLOSING_S
        self._engine: Engine | None = None
        self._budget: DailyBudget | None = None

    async def open(self) -> None:
        """See the protocol."""
        self._engine = _open_engine(self._settings, self._limits)
        self._budget = _open_budget(self._settings)
        names = ", ".join(f"{analyzer.name}@{analyzer.revision}" for analyzer in ANALYZERS)
        logger.info("Analyzing by %s: %s", self._engine.description, names, extra={"action": "analysis_opened"})

    async def close(self) -> None:
        """See the protocol."""
        if self._engine is not None:
            await self._engine.close()

    async def perform(self, request: AnalyzeSession, *, attempt: int) -> Performed:
        """See the protocol."""
        verdict = await self._judge(request)
        if request.trigger == "live":
            # What a person asks for has a budget of its own, and must not stop the live calls.
            self._account(verdict)
        outcome = self._conclude(request, attempt, verdict)
        return Performed(outcome=outcome, blame=_blame(verdict), has_asked=_has_asked(verdict))

    def tell(self, outcome: Outcome) -> None:
        """See the protocol."""
        _log_outcome(outcome)

    async def _judge(self, request: AnalyzeSession) -> Verdict:
        analyzer = self._analyzers.get((request.analyzer, request.revision))
        if analyzer is None:
            # In a rolling restart a newer process asks for what an older one does not have.
            return Unavailable(reason="this release does not have the analyzer's revision", was_asked=False)
        try:
            transcript = Transcript.model_validate_json(request.input)
        except ValidationError:
            return Failed(reason="the request's input is no transcript")
        if transcript.is_empty:
            return Skipped(reason="no transcript")
        now = datetime.now(UTC)
        if self._budget is not None and request.trigger == "live" and self._budget.is_spent(now):
            return Skipped(reason="budget")
        assert self._engine is not None, "perform before open"  # noqa: S101 - a broken contract is a bug
        return await self._engine.analyze(analyzer, transcript)

    def _account(self, verdict: Verdict) -> None:
        usage = None if isinstance(verdict, Skipped) else verdict.usage
        if self._budget is not None and usage is not None and usage.cost_usd is not None:
            self._budget.add(usage.cost_usd, datetime.now(UTC))

    def _conclude(self, request: AnalyzeSession, attempt: int, verdict: Verdict) -> Outcome:
        match verdict:
            case Extracted():
                return InsightExtracted(**_shared(request, attempt, verdict.usage), result=verdict.result)
            case Skipped():
                return AnalysisSkipped(**_shared(request, attempt, None), reason=verdict.reason)
            case Failed():
                return AnalysisFailed(**_shared(request, attempt, verdict.usage), reason=verdict.reason)
            case Unavailable():
                return self._try_later(request, attempt, verdict)

    def _try_later(self, request: AnalyzeSession, attempt: int, verdict: Unavailable) -> Outcome:
        if attempt >= self._limits.analysis_max_attempts:
            reason = f"given up after {attempt} attempts: {verdict.reason}"
            return AnalysisFailed(**_shared(request, attempt, verdict.usage), reason=reason)
        pause_s = _BACKOFF.pause_s(attempt, retry_after_s=verdict.retry_after_s)
        return AnalysisDeferred(
            **_shared(request, attempt, verdict.usage),
            not_before=datetime.now(UTC) + timedelta(seconds=pause_s),
            reason=verdict.reason,
        )


def _blame(verdict: Verdict) -> Blame | None:
    if not isinstance(verdict, Unavailable) or not verdict.was_asked:
        return None
    return Blame(reason=verdict.reason, is_certain=verdict.concerns_all, retry_after_s=verdict.retry_after_s)


def _has_asked(verdict: Verdict) -> bool:
    return verdict.was_asked if isinstance(verdict, Unavailable) else not isinstance(verdict, Skipped)


def _open_engine(settings: Settings, limits: InsightSettings) -> Engine:
    if settings.openai_api_key is None:
        from streams.analyzers.local import LocalEngine  # noqa: PLC0415 - loads its rules

        return LocalEngine()
    from streams.analyzers.chat_model import ChatModel  # noqa: PLC0415 - the client takes half a second to load

    return ChatModel(
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        timeout_s=limits.analysis_timeout_s,
    )


def _open_budget(settings: Settings) -> DailyBudget | None:
    """The budget, if there is one to keep: the local rules cost nothing."""
    if settings.daily_budget_usd is None or settings.openai_api_key is None:
        return None
    if find_price(settings.openai_model) is None:
        raise SettingsError(
            f"POSTCALL_DAILY_BUDGET_USD is set, but the price of {settings.openai_model} is not known, so "
            "nothing would ever stop at it. Choose a model of streams/analyzers/prices.toml, or add its price there."
        )
    budget = DailyBudget(limit_usd=settings.daily_budget_usd, file=settings.data_dir / "insights" / "spend.json")
    budget.open()
    return budget


def _shared(request: AnalyzeSession, attempt: int, usage: Usage | None) -> dict[str, Any]:
    """What every outcome of this analysis carries."""
    return {
        "session_id": request.session_id,
        "request_id": request.request_id,
        "attempt": attempt,
        "analyzer": request.analyzer,
        "revision": request.revision,
        "input_hash": request.input_hash,
        "trigger": request.trigger,
        "occurred_at": request.occurred_at,
        "produced_at": datetime.now(UTC),
        "model": usage.model if usage else None,
        "tokens_in": usage.tokens_in if usage else None,
        "tokens_out": usage.tokens_out if usage else None,
        "cost_usd": usage.cost_usd if usage else None,
        "model_latency_ms": usage.model_latency_ms if usage else None,
    }


def _log_outcome(outcome: Outcome) -> None:
    facts = {"session_id": outcome.session_id, "attempt": outcome.attempt}
    match outcome:
        case InsightExtracted():
            logger.info("Insight extracted", extra={"action": "insight_extracted", **facts, "model": outcome.model})
        case AnalysisSkipped():
            logger.info("Analysis skipped", extra={"action": "analysis_skipped", **facts, "reason": outcome.reason})
        case AnalysisDeferred():
            logger.info("Analysis deferred", extra={"action": "analysis_deferred", **facts, "reason": outcome.reason})
        case AnalysisFailed():
            logger.warning("Analysis failed", extra={"action": "analysis_failed", **facts, "reason": outcome.reason})
