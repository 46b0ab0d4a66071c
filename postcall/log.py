"""The one place where values of the log are encoded and opened.

Messages are CloudEvents 1.0 in Kafka's binary mode. The header `key-id` is reserved for sealed values; a record
that carries one cannot be opened by this release.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from postcall.dead_letters import RETRY_OF, DeadLetter, Retry
from postcall.decisions import (
    DeadLetterResolved,
    GenerationPromoted,
    ReplayFinished,
    ReplayPaused,
    ReplaySelected,
    ReplayStarted,
)
from postcall.errors import UnreadableRecord
from postcall.events import (
    ClientDataReceived,
    RecordingReady,
    RecordingUnavailable,
    SessionEnded,
    SessionFetched,
    SessionStarted,
    TurnReceived,
)
from postcall.messages import Message
from postcall.outcomes import (
    AnalysisDeferred,
    AnalysisFailed,
    AnalysisSkipped,
    InsightExtracted,
    RecordingDeferred,
    RecordingFailed,
    RecordingStored,
)
from postcall.records import NewRecord, Position, Record
from postcall.requests import AnalyzeSession, DownloadRecording
from postcall.topics import Topic

_MESSAGE_TYPES: Final[tuple[type[Message], ...]] = (
    SessionStarted,
    TurnReceived,
    ClientDataReceived,
    SessionEnded,
    SessionFetched,
    RecordingReady,
    RecordingUnavailable,
    DownloadRecording,
    AnalyzeSession,
    RecordingStored,
    RecordingFailed,
    RecordingDeferred,
    InsightExtracted,
    AnalysisSkipped,
    AnalysisFailed,
    AnalysisDeferred,
    DeadLetter,
    DeadLetterResolved,
    ReplaySelected,
    ReplayStarted,
    ReplayPaused,
    ReplayFinished,
    GenerationPromoted,
)
#: Every type that a record of the log may have, by its CloudEvents name.
MESSAGE_TYPES: Final[dict[str, type[Message]]] = {kind.__name__: kind for kind in _MESSAGE_TYPES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A message as it lies in the log, with its CloudEvents attributes."""

    message: Message
    id: UUID
    source: str
    time: datetime
    causation: str | None
    position: Position


def encode(
    message: Message,
    *,
    source: str,
    time: datetime,
    causation: Position | None = None,
    topic: Topic | None = None,
    retry_of: Retry | None = None,
) -> NewRecord:
    """Seal a message into a record for its topic.

    :param source: who says it: the vendor's name for domain events, else the stage's.
    :param time: when it became known; part of no identity.
    :param causation: the record that led here, for people to follow.
    :param topic: where it goes; None = where its type is at home.
    :param retry_of: the dead letter that is tried again with this record.
    """
    kind = type(message).__name__
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": str(message.identity(source)),
        "ce_type": kind,
        "ce_source": source,
        "ce_time": time.isoformat(),
        "ce_subject": message.subject,
        "ce_dataschema": f"{kind}/{message.schema_version}",
        "content-type": "application/json",
        "ce_causation": str(causation) if causation else None,
        RETRY_OF: str(retry_of) if retry_of else None,
    }
    return NewRecord(
        topic=(topic or message.topic).name,
        key=message.subject.encode() if message.subject is not None else None,
        value=message.canonical_json(),
        headers=tuple((name, value.encode()) for name, value in attributes.items() if value is not None),
    )


def open_record(record: Record) -> Envelope:
    """Open a record that `encode` sealed.

    :raises UnreadableRecord: for any other bytes, and for nothing else.
    """
    if record.header("key-id") is not None:
        raise UnreadableRecord("The value is sealed with a key, which this release cannot open.")
    kind = record.header("ce_type")
    if kind is None:
        raise UnreadableRecord("The record has no ce_type.")
    if kind not in MESSAGE_TYPES:
        raise UnreadableRecord(
            f"The record's ce_type is {kind!r}, which this release does not know.", error_class="schema"
        )
    try:
        return Envelope(
            message=MESSAGE_TYPES[kind].model_validate_json(record.value),
            id=UUID(record.header("ce_id")),
            source=record.header("ce_source") or "",
            time=datetime.fromisoformat(record.header("ce_time") or ""),
            causation=record.header("ce_causation"),
            position=record.position,
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the value"
        raise UnreadableRecord(
            f"{kind}: {where}: {first['msg']}",
            error_class="unreadable" if first["type"] == "json_invalid" else "schema",
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableRecord(f"{kind}: the CloudEvents headers are not complete.") from error
