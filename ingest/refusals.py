"""What was turned away, counted by reason; logged at most once a second per reason, so that a flood fills no disk."""

from __future__ import annotations

import logging
import time
from collections import Counter

from postcall.sources.base import SignatureRefused

logger = logging.getLogger(__name__)

_LOG_INTERVAL_S = 1.0


class Refusals:
    """Counts since the start, by the error's name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._logged_at_s: dict[str, float] = {}

    def note(self, error: Exception, *, receipt_id: str) -> None:
        """Count a refusal, and say why unless the same was said just now."""
        name = type(error).__name__
        self.counts[name] += 1
        now_s = time.monotonic()
        if now_s - self._logged_at_s.get(name, -_LOG_INTERVAL_S) < _LOG_INTERVAL_S:
            return
        self._logged_at_s[name] = now_s
        what = "Signature refused" if isinstance(error, SignatureRefused) else "Request refused"
        logger.warning(
            "%s: %s",
            what,
            error,
            extra={"action": "refused", "reason": name, "refused_so_far": self.counts[name], "receipt_id": receipt_id},
        )
