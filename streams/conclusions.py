"""One claimed request to its end: perform it, make its outcome durable in the log, then note it in the index.

The order is the promise: an outcome that is not in the log is not noted, so a crash in between does the work again,
and its second outcome has the same id as the first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from postcall.dead_letters import dead_letter
from postcall.errors import UnreadableRecord
from postcall.log import encode, open_record
from postcall.outcomes import AnalysisDeferred, Outcome, RecordingDeferred
from postcall.records import NewRecord, Record
from postcall.requests import Request
from postcall.topics import Topic
from streams.appender import Appender, require_fitting
from streams.failures import describe_failure, format_frames, is_dependency_failure, pause_after
from streams.work_index import Work, WorkIndex
from streams.worker import Worker

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Request)

#: After so many failures of our own in a row, a request is set aside.
MAX_FAILURES = 5
# How often a request is tried while the log or the disk is at fault, as the number of failures to wait for.
_DEPENDENCY_PAUSE = 5


class Conclusions(Generic[R]):
    """Does claimed work for one slow stage."""

    def __init__(self, worker: Worker[R], *, index: WorkIndex, appender: Appender) -> None:
        self._worker = worker
        self._index = index
        self._appender = appender
        self._is_impaired = False

    async def conclude(self, work: Work) -> None:
        """Perform a request once. It ends as done or as waiting, or is cancelled and stays as running."""
        try:
            request = read_request(work.record, self._worker.requests)
            outcome = await self._worker.perform(request, attempt=work.attempts + 1)  # type: ignore[arg-type]  # the topic says so
            answer = self._encode(work, outcome)
        except Exception as error:  # noqa: BLE001 - the worker's own code may fail in any way
            await self._note_failure(work, error)
            return
        await self._insist(lambda: self._appender.append([answer]))
        await self._insist(lambda: self._note_outcome(outcome))
        self._say_recovered()

    def _encode(self, work: Work, outcome: Outcome) -> NewRecord:
        answered = (outcome.topic, outcome.request_id, outcome.attempt)
        if answered != (self._worker.outcomes, work.request_id, work.attempts + 1):
            raise ValueError("The worker answered something else than it was given.")
        record = encode(outcome, source=self._worker.stage, time=datetime.now(UTC), causation=work.record.position)
        require_fitting(record)
        return record

    async def _note_outcome(self, outcome: Outcome) -> None:
        note_outcome(self._index, outcome)

    async def _note_failure(self, work: Work, error: Exception) -> None:
        if is_dependency_failure(error):
            self._say_impaired(error)
            await self._insist(lambda: self._put_back(work, failures=work.failures, pause=_DEPENDENCY_PAUSE))
            return
        failures = work.failures + 1
        logger.error(
            "Work failed by our own code: %s",
            describe_failure(error),
            extra={
                "action": "work_failed",
                "stage": self._worker.stage,
                "request_id": str(work.request_id),
                "failures": failures,
                "frames": format_frames(error),
            },
        )
        if failures < MAX_FAILURES:
            await self._insist(lambda: self._put_back(work, failures=failures, pause=failures))
        else:
            await self._set_aside(work, error)

    async def _set_aside(self, work: Work, error: Exception) -> None:
        letter = dead_letter(
            work.record,
            stage=self._worker.stage,
            error_class="bug",
            reason=describe_failure(error),
            attempts=MAX_FAILURES,
        )
        record = encode(letter, source=self._worker.stage, time=datetime.now(UTC), causation=work.record.position)
        await self._insist(lambda: self._appender.append([record]))
        await self._insist(lambda: self._finish(work))

    async def _put_back(self, work: Work, *, failures: int, pause: int) -> None:
        not_before_ms = now_ms() + round(1000 * pause_after(pause))
        self._index.put_back(work.request_id, failures=failures, not_before_ms=not_before_ms)

    async def _finish(self, work: Work) -> None:
        self._index.finish(work.request_id)

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step, again and again while the log or the disk is at fault: what was paid for is not dropped."""
        failures = 0
        while True:
            try:
                await step()
            except Exception as error:
                if not is_dependency_failure(error):
                    raise
                self._say_impaired(error)
                failures += 1
                await asyncio.sleep(pause_after(failures))
            else:
                return

    def _say_impaired(self, error: Exception) -> None:
        if not self._is_impaired:
            self._is_impaired = True
            logger.error(
                "Stage waits for the log or the disk: %s",
                describe_failure(error),
                extra={"action": "paused", "stage": self._worker.stage},
            )

    def _say_recovered(self) -> None:
        if self._is_impaired:
            self._is_impaired = False
            logger.info("Stage goes on", extra={"action": "resumed", "stage": self._worker.stage})


def read_request(record: Record, topic: Topic) -> Request:
    """The request in a record.

    :raises UnreadableRecord: it holds something else.
    """
    message = open_record(record).message
    if not isinstance(message, Request) or message.topic != topic:
        raise UnreadableRecord(f"The record holds {type(message).__name__}, which does not belong into {topic.name}.")
    return message


def note_outcome(index: WorkIndex, outcome: Outcome) -> None:
    """Note in the index what became of a request."""
    if isinstance(outcome, RecordingDeferred | AnalysisDeferred):
        not_before_ms = round(outcome.not_before.timestamp() * 1000)
        index.defer(outcome.request_id, attempt=outcome.attempt, not_before_ms=not_before_ms)
    else:
        index.finish(outcome.request_id)


def now_ms() -> int:
    """The wall clock, in which `not_before` is written."""
    return round(datetime.now(UTC).timestamp() * 1000)
