"""What the libraries under a stage may say in its log.

The Kafka libraries report each attempt on a log that is down, and quote records, which hold what people said. What
matters of it the stage says itself; of their errors only the fact is told, and at most once a minute. Of exceptions
that nobody awaited, in tasks and threads, the kind is told and not the message.
"""

from __future__ import annotations

import logging
import threading
import time

logger = logging.getLogger(__name__)

_INTERVAL_S = 60.0


def quieten_libraries() -> None:
    """Apply this to the whole process."""
    for library in ("faust", "mode"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    _redirect("aiokafka", _TroubleTeller(logging.ERROR))
    _redirect("asyncio", _LooseEndTeller(logging.WARNING))
    threading.excepthook = _tell_thread_failure


def _redirect(library: str, handler: logging.Handler) -> None:
    source = logging.getLogger(library)
    source.handlers = [handler]
    source.propagate = False
    source.setLevel(handler.level)


class _TroubleTeller(logging.Handler):
    _told_at: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at > _INTERVAL_S:
            self._told_at = now
            logger.warning(
                "The log does not answer as it should; trying again until it does",
                extra={"action": "log_troubled", "reported_by": record.name},
            )


class _LooseEndTeller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        logger.warning(
            "Event loop reports: %s",
            record.getMessage().partition("\n")[0],
            extra={"action": "loop_reported", "error": kind},
        )


def _tell_thread_failure(arguments: threading.ExceptHookArgs) -> None:
    logger.warning(
        "Thread of the Kafka client ended early",
        extra={"action": "thread_ended", "error": arguments.exc_type.__name__},
    )
