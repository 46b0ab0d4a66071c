"""The stage `plan`: domain events become requests for work.

A request's id says which work it is, so an event that is planned twice asks for the same work twice, and it is done
once. Whether work was done already is not asked here but where it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

from postcall.events import RecordingReady, SessionEnded, SessionFetched, SessionRecord, analyzer_input
from postcall.log import Envelope, encode, open_record
from postcall.messages import sha256_hex
from postcall.records import NewRecord, Record
from postcall.requests import AnalyzeSession, DownloadRecording, Request, Trigger

STAGE = "plan"


class PlannedAnalyzer(Protocol):
    """What planning needs to know of an analyzer."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> int: ...


def plan(record: Record, analyzers: Sequence[PlannedAnalyzer]) -> Sequence[NewRecord]:
    """The requests that follow from one event.

    :raises UnreadableRecord: the record holds no message of ours.
    """
    envelope = open_record(record)
    return [
        encode(request, source=STAGE, time=envelope.time, causation=record.position)
        for request in _requests(envelope, analyzers)
    ]


def _requests(envelope: Envelope, analyzers: Sequence[PlannedAnalyzer]) -> Iterator[Request]:
    match envelope.message:
        case RecordingReady() as event:
            yield DownloadRecording(
                session_id=event.session_id, vendor=envelope.source, agent_id=event.agent_id, url=event.url
            )
        case SessionEnded() as event:
            yield from ask_for_analyses(event, envelope.time, analyzers)
        case SessionFetched(is_complete=True) as event:
            yield from ask_for_analyses(event, envelope.time, analyzers)
        case _:
            pass


def ask_for_analyses(
    event: SessionRecord, received_at: datetime, analyzers: Sequence[PlannedAnalyzer], *, trigger: Trigger = "live"
) -> Iterator[AnalyzeSession]:
    """The requests for a record's transcript, one for each analyzer; live or in a replay, they are the same work."""
    received = analyzer_input(event.transcript)
    occurred_at = event.started_at or event.ended_at or received_at
    for analyzer in analyzers:
        yield AnalyzeSession(
            session_id=event.session_id,
            analyzer=analyzer.name,
            revision=analyzer.revision,
            input=received.decode(),
            input_hash=sha256_hex(received),
            trigger=trigger,
            occurred_at=occurred_at.astimezone(UTC).isoformat(),
        )
