"""When to try again: growing pauses with jitter, and what `Retry-After` asks for."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Pauses that grow by `factor` from `first_s` up to `cap_s`, each up to a fifth longer or shorter by chance."""

    first_s: float
    factor: float
    cap_s: float
    #: A server may ask for more patience than ours, up to this.
    retry_after_cap_s: float = 3600.0

    def pause_s(self, failures: int, *, retry_after_s: float | None = None) -> float:
        """How long to wait after so many failures, counted from 1; never less than the server asked for."""
        # The exponent is bounded so that a request which has waited for weeks does not overflow.
        grown_s = min(self.cap_s, self.first_s * self.factor ** min(failures - 1, 64))
        jittered_s = grown_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
        asked_s = min(retry_after_s or 0.0, self.retry_after_cap_s)
        return max(jittered_s, asked_s)


def read_retry_after(value: str | None, *, now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for, given as a number or as a date; None if it says neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(value: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
