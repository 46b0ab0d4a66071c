"""Setting a record aside: the dead letter to append, with the reason in words that quote nobody."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from postcall.dead_letters import ErrorClass, dead_letter
from postcall.log import encode
from postcall.records import NewRecord, Record

logger = logging.getLogger(__name__)

_LATEST_MS = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)


def set_aside(record: Record, *, stage: str, error_class: ErrorClass, reason: str, attempts: int = 1) -> NewRecord:
    """The dead letter of a record, which is logged; see `encode_dead_letter`."""
    logger.warning(
        "Record set aside: %s",
        reason,
        extra={"action": "dead_lettered", "position": str(record.position), "error_class": error_class},
    )
    return encode_dead_letter(record, stage=stage, error_class=error_class, reason=reason, attempts=attempts)


def encode_dead_letter(
    record: Record, *, stage: str, error_class: ErrorClass, reason: str, attempts: int = 1
) -> NewRecord:
    """The dead letter of a record, dated when the record itself came, so that a repeat says the same."""
    letter = dead_letter(record, stage=stage, error_class=error_class, reason=reason, attempts=attempts)
    return encode(letter, source=stage, time=_appended_at(record), causation=record.position)


def _appended_at(record: Record) -> datetime:
    # A producer may write any number there; one that is no date must not stop the stage.
    milliseconds = min(max(record.timestamp_ms, 0), _LATEST_MS)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
