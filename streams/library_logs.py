"""What the Kafka libraries may say in a stage's log.

They report each attempt on a log that is down, and quote records, which hold what people said. What matters of it the
stage says itself; of their errors only the fact is told, and at most once a minute.
"""

from __future__ import annotations

import logging
import time

logger = logging.getLogger(__name__)

_INTERVAL_S = 60.0


def quieten_libraries() -> None:
    """Apply this to the whole process."""
    for library in ("faust", "mode"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    aiokafka = logging.getLogger("aiokafka")
    aiokafka.handlers = [_TroubleTeller()]
    aiokafka.propagate = False
    aiokafka.setLevel(logging.ERROR)


class _TroubleTeller(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._told_at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at > _INTERVAL_S:
            self._told_at = now
            logger.warning(
                "The log does not answer as it should; trying again until it does",
                extra={"action": "log_troubled", "reported_by": record.name},
            )
