"""The decisions of a run: written as it starts, pauses and ends, and read again to resume it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from postcall.decisions import Decision, ReplayFinished, ReplayPaused, ReplaySelected, ReplayStarted
from postcall.errors import UsageError
from postcall.log import encode, open_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.topics import DECISIONS
from streams.appender import Appender
from streams.replay.runs import Run, cut
from streams.replay.runs_reading import read_ends, read_up_to

#: Half a megabyte of session ids and hashes.
PART_SIZE: Final = 5000

_SOURCE = "replay"


async def append_decisions(appender: Appender, decisions: Sequence[Decision]) -> None:
    """Append decisions in order; durable on return.

    :raises LogUnavailable: one was not acknowledged.
    """
    now = datetime.now(UTC)
    await appender.append([encode(decision, source=_SOURCE, time=now) for decision in decisions])


async def start_run(appender: Appender, started: ReplayStarted, work: Sequence[tuple[str, str]]) -> Run:
    """Write a run down: first what it selected, and that it started once all of that is durable.

    :raises LogUnavailable: it may not have started.
    """
    for number, part in enumerate(cut(work, PART_SIZE), start=1):
        await append_decisions(appender, [ReplaySelected(run_id=started.run_id, part=number, work=part)])
    await append_decisions(appender, [started])
    return Run(started=started, work=dict(work))


async def find_run(log: LogConnection, run_id: UUID) -> Run:
    """A run as the log tells it.

    :raises UsageError: it never started; says which could be resumed.
    :raises LogUnavailable: the log does not answer.
    """
    mine: list[Decision] = []
    unfinished: dict[str, None] = {}
    async for records in read_up_to(log, await read_ends(log, [DECISIONS])):
        for record in records:
            subject = (record.key or b"").decode("utf-8", "replace")
            _note_unfinished(unfinished, record, subject)
            if subject == str(run_id):
                mine.append(_open(record))
    starts = [decision for decision in mine if isinstance(decision, ReplayStarted)]
    if not starts:
        known = f"These can be resumed: {', '.join(unfinished)}." if unfinished else "There is none to resume."
        raise UsageError(f"The log has no run {run_id}. {known}")
    return _put_together(starts[0], mine)


def _put_together(started: ReplayStarted, decisions: Sequence[Decision]) -> Run:
    parts = {decision.part: decision.work for decision in decisions if isinstance(decision, ReplaySelected)}
    if len(parts) < started.parts:
        raise UsageError(f"The log has lost a part of what run {started.run_id} selected; start another one.")
    return Run(
        started=started,
        work={session_id: key for work in parts.values() for session_id, key in work},
        pauses=max((decision.pause for decision in decisions if isinstance(decision, ReplayPaused)), default=0),
        is_finished=any(isinstance(decision, ReplayFinished) for decision in decisions),
    )


def _note_unfinished(unfinished: dict[str, None], record: Record, subject: str) -> None:
    kind = record.header("ce_type")
    if kind == ReplayStarted.__name__:
        unfinished[subject] = None
    elif kind == ReplayFinished.__name__:
        unfinished.pop(subject, None)


def _open(record: Record) -> Decision:
    message = open_record(record).message
    assert isinstance(message, Decision), "the topic holds nothing else"  # noqa: S101 - a broken contract is a bug
    return message
