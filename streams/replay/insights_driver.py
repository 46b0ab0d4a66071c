"""Asking for a run's analyses: once through the events, and never more under way than a window.

What is asked for is what the live path would ask for, made by the same code, so the stage knows what it has done. What
was asked for and what came of it is read from the log alone: a driver that was killed is gone on from by another one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeGuard

from postcall.errors import UnreadableRecord
from postcall.events import SessionEnded, SessionFetched, SessionRecord
from postcall.log import encode, open_record
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.requests import AnalyzeSession
from postcall.topics import ANALYSIS_BACKFILL, generation_of
from streams.appender import Appender
from streams.plan import ask_for_analyses
from streams.replay.runs import Run, RunLedger
from streams.replay.runs_following import Following, following
from streams.replay.runs_reading import read_up_to

#: Who asks, in the records' `ce_source`.
_SOURCE: Final = "replay"
_RECORDS: Final = frozenset({SessionEnded.__name__, SessionFetched.__name__})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A request, and the record that asks for it."""

    request: AnalyzeSession
    record: NewRecord


@dataclass(frozen=True, slots=True)
class _Revision:
    """What planning needs to know of an analyzer."""

    name: str
    revision: int


class InsightsDriver:
    """Drives one run.

    :param window: how many requests may be asked for and without outcome.
    :param budget_usd: nothing more is asked for once the run has cost so much; None = no limit.
    """

    def __init__(self, run: Run, *, log: LogConnection, window: int, budget_usd: Decimal | None) -> None:
        self.run = run
        self.ledger = RunLedger(run)
        self._log = log
        self._window = window
        self._budget_usd = budget_usd
        self._analyzer = _Revision(run.started.selection["analyzer"], run.started.selection["revision"])

    async def drive(self, appender: Appender) -> str | None:
        """Ask for all that is without outcome, and wait for it; returns why it was not all asked for, if so.

        What was asked for has its outcome then. May be cancelled at any point, and begun again.

        :raises LogUnavailable: the log stopped answering.
        """
        async with following(self.ledger, self._log) as follow:
            reason = await self._ask_for_all(appender, follow)
            await follow.until(lambda: not self.ledger.waiting)
            # What others did meanwhile is done as well.
            return reason if self.ledger.concluded < self.ledger.total else None

    async def _ask_for_all(self, appender: Appender, follow: Following) -> str | None:
        async with aclosing(self._missing()) as missing:
            async for asked in missing:
                reason = await self._ask(asked, appender, follow)
                if reason is not None:
                    return reason
        return None

    async def _missing(self) -> AsyncGenerator[list[_Asked], None]:
        """The requests that are to be asked for, found in the events up to where they ended as the run began."""
        left = dict(self.run.work)
        # Of the generation that was live when the run began: what was selected is found there.
        ends = {topic: marks for topic, marks in self.run.started.ends.items() if generation_of(topic)}
        async with aclosing(read_up_to(self._log, ends)) as batches:
            async for records in batches:
                yield [asked for record in records for asked in self._find(record, left)]
                if not left:
                    return

    def _find(self, record: Record, left: dict[str, str]) -> Sequence[_Asked]:
        """The request that follows from a record, if it is the one that was selected of its session."""
        session_id = (record.key or b"").decode("utf-8", "replace")
        if session_id not in left or record.header("ce_type") not in _RECORDS:
            return ()
        try:
            envelope = open_record(record)
        except UnreadableRecord:
            return ()
        event = envelope.message
        if not _is_planned(event) or event.input_hash != left[session_id]:
            return ()
        del left[session_id]
        now = datetime.now(UTC)
        return [
            _Asked(
                request=request,
                record=encode(request, source=_SOURCE, time=now, causation=record.position, topic=ANALYSIS_BACKFILL),
            )
            for request in ask_for_analyses(event, envelope.time, [self._analyzer], trigger="replay")
        ]

    async def _ask(self, asked: Sequence[_Asked], appender: Appender, follow: Following) -> str | None:
        """Append requests as the window allows; returns why no more may be, if so."""
        left = list(asked)
        while left := [each for each in left if self.ledger.wants(each.request.request_id)]:
            await follow.until(lambda: self._room() > 0 or self._stop_reason() is not None)
            reason = self._stop_reason()
            if reason is not None:
                return reason
            now = [each for each in left if self.ledger.wants(each.request.request_id)][: self._room()]
            await appender.append([each.record for each in now])
            for each in now:
                self.ledger.note_asked(each.request.request_id)
        return None

    def _room(self) -> int:
        return max(0, self._window - self.ledger.waiting)

    def _stop_reason(self) -> str | None:
        if self._budget_usd is None:
            return None
        if self.ledger.unpriced_model is not None:
            return f"the price of {self.ledger.unpriced_model} is not known, so nothing would ever stop at the budget"
        if self.ledger.spent_usd >= self._budget_usd:
            return "budget"
        return None


def _is_planned(event: object) -> TypeGuard[SessionRecord]:
    """Whether the live path analyzes the transcript of this event."""
    return isinstance(event, SessionEnded) or (isinstance(event, SessionFetched) and event.is_complete)
