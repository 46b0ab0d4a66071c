"""The settings of the insights worker."""

from __future__ import annotations

from dataclasses import dataclass

from postcall.settings import setting


@dataclass(frozen=True, kw_only=True)
class InsightSettings:
    """Limits of an analysis."""

    analysis_timeout_s: float = setting(120.0, "longest wait for one answer of the model, in seconds")
    analysis_max_attempts: int = setting(8, "attempts at a model that does not answer before the analysis has failed")
