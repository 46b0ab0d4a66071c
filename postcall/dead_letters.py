"""Dead letters: a record set aside, why, and where it lies. The record itself stays where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final
from uuid import UUID

from postcall.errors import ErrorClass as ErrorClass  # noqa: PLC0414 - it is a part of what a dead letter says
from postcall.messages import Message, derive_id, sha256_hex
from postcall.records import Record
from postcall.topics import DEAD_LETTERS, Topic

_MOST_ATTEMPTS: Final = 1_000_000

#: The header of a request that was set aside and is asked for again.
RETRY_OF: Final = "ce_retryof"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Which dead letter is tried again, and how often its record had failed by then."""

    id: UUID
    attempts: int

    def __str__(self) -> str:
        return f"{self.id}/{self.attempts}"


class DeadLetter(Message):
    """A record that a stage could not use. The same record at the same stage is one dead letter, however often."""

    topic: ClassVar[Topic] = DEAD_LETTERS

    id: UUID
    session_id: str | None = None
    stage: str
    error_class: ErrorClass
    reason: str
    kafka_topic: str
    kafka_partition: int
    kafka_offset: int
    attempts: int = 1

    @property
    def subject(self) -> str | None:
        """The session id, where one could be read."""
        return self.session_id

    def identity(self, source: str) -> UUID:  # noqa: ARG002 - the stage is part of the id already
        """The dead letter's id."""
        return self.id


def dead_letter_id(stage: str, identity: str) -> UUID:
    """The id of a dead letter, given the set-aside record's own id, or the hash of its bytes where it has none."""
    return derive_id("dead-letter", stage, identity)


def dead_letter(record: Record, *, stage: str, error_class: ErrorClass, reason: str, attempts: int = 1) -> DeadLetter:
    """Set a record aside: its id is of the stage and the record's own id, or of its bytes where it has none."""
    identity = record.header("ce_id") or sha256_hex(record.value)
    return DeadLetter(
        id=dead_letter_id(stage, identity),
        session_id=record.key.decode("utf-8", "replace") if record.key is not None else None,
        stage=stage,
        error_class=error_class,
        reason=reason,
        kafka_topic=record.topic,
        kafka_partition=record.partition,
        kafka_offset=record.offset,
        attempts=attempts,
    )


def read_retry(record: Record) -> Retry | None:
    """Which dead letter is tried again with this record, if it says so in words that can be read."""
    identity, _, attempts = (record.header(RETRY_OF) or "").partition("/")
    try:
        retry = Retry(id=UUID(identity), attempts=int(attempts))
    except ValueError:
        return None
    return retry if 0 < retry.attempts < _MOST_ATTEMPTS else None
