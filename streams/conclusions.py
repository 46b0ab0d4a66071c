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

from postcall.crash_points import reach
from postcall.dead_letters import ErrorClass, read_retry
from postcall.decisions import DeadLetterResolved
from postcall.errors import UnreadableRecord
from postcall.log import encode, open_record
from postcall.outcomes import AnalysisDeferred, Outcome, RecordingDeferred
from postcall.records import NewRecord, Record
from postcall.requests import Request
from postcall.topics import Topic
from streams.appender import Appender, require_fitting
from streams.breaker import Breaker
from streams.failures import (
    CRASHED,
    MAX_CRASHES,
    MAX_FAILURES,
    describe_failure,
    format_frames,
    is_dependency_failure,
    pause_after,
)
from streams.set_aside import set_aside
from streams.work_index import Work, WorkIndex
from streams.worker import Blame, Performed, Worker

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Request)


class Conclusions(Generic[R]):
    """Does claimed work for one slow stage."""

    def __init__(self, worker: Worker[R], *, index: WorkIndex, appender: Appender, breaker: Breaker) -> None:
        self._worker = worker
        self._index = index
        self._appender = appender
        self._breaker = breaker

    async def conclude(self, work: Work) -> None:
        """Perform a request once. It ends as done, set aside or waiting, or is cancelled and stays as running."""
        if work.crashes >= MAX_CRASHES:
            await self._set_aside(work, error_class="bug", reason=CRASHED, attempts=MAX_CRASHES)
            return
        try:
            performed = await self._perform(work)
            answer = self._encode(work, performed.outcome)
        except Exception as error:  # noqa: BLE001 - the worker's own code may fail in any way
            await self._note_failure(work, error)
            return
        reach("after_perform_before_outcome", who=self._worker.stage)
        if performed.blame is not None and self._is_held_up(work, performed.blame):
            await self._put_back(work, failures=work.failures, pause_s=0)
            return
        resolved = resolve_retry(work.record) if performed.outcome.is_final else []
        await self._insist(work, lambda: self._appender.append([answer, *resolved]))
        self._worker.tell(performed.outcome)
        reach("after_outcome_before_index", who=self._worker.stage)
        await self._insist(work, lambda: self._note_outcome(performed.outcome))
        if performed.blame is None and performed.has_asked:
            self._breaker.note_success(work.key)
        elif performed.outcome.is_final:
            self._breaker.forget(work.key)

    async def _perform(self, work: Work) -> Performed:
        request = read_request(work.record, self._worker.requests)
        async with asyncio.timeout(self._worker.limit_s):
            return await self._worker.perform(request, attempt=work.attempts + 1)  # type: ignore[arg-type]  # the topic says so

    def _is_held_up(self, work: Work, blame: Blame) -> bool:
        is_certain = blame.is_certain and not self._breaker.others_got_through_since(work.key)
        self._breaker.note_failure(work.key, blame.reason, is_certain=is_certain, retry_after_s=blame.retry_after_s)
        return self._breaker.is_open

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
            reason = f"the log or the disk failed: {describe_failure(error)}"
            self._breaker.note_failure(work.key, reason, is_certain=True)
            await self._put_back(work, failures=work.failures, pause_s=0)
            return
        failures = work.failures + 1
        logger.error(
            "Work failed by our own code: %s",
            describe_failure(error),
            extra={
                "action": "work_failed",
                "stage": self._worker.stage,
                "request_id": work.key,
                "failures": failures,
                "frames": format_frames(error),
            },
        )
        is_worn_out = failures >= MAX_FAILURES and self._breaker.is_alone_at_fault(work.key)
        if is_worn_out:
            error_class = self._class_of(error)
            await self._set_aside(work, error_class=error_class, reason=describe_failure(error), attempts=failures)
            return
        # Worn out, and no other gets through: it is not this request that is at fault.
        reason = f"our own code failed: {describe_failure(error)}"
        self._breaker.note_failure(work.key, reason, is_certain=failures >= MAX_FAILURES)
        await self._put_back(work, failures=min(failures, MAX_FAILURES - 1), pause_s=pause_after(failures))

    def _class_of(self, error: Exception) -> ErrorClass:
        if isinstance(error, TimeoutError):
            return self._worker.error_class
        return "store" if isinstance(error, OSError) else "bug"

    async def _set_aside(self, work: Work, *, error_class: ErrorClass, reason: str, attempts: int) -> None:
        retry = read_retry(work.record)
        letter = set_aside(
            work.record,
            stage=self._worker.stage,
            error_class=error_class,
            reason=reason,
            attempts=attempts + (retry.attempts if retry else 0),
        )
        await self._insist(work, lambda: self._appender.append([letter]))
        await self._insist(work, lambda: self._note_set_aside(work.record))
        self._breaker.forget(work.key)

    async def _put_back(self, work: Work, *, failures: int, pause_s: float) -> None:
        async def put_back() -> None:
            not_before_ms = now_ms() + round(1000 * pause_s)
            self._index.put_back(work.request_id, failures=failures, not_before_ms=not_before_ms)

        await self._insist(work, put_back)

    async def _note_set_aside(self, record: Record) -> None:
        self._index.set_aside_at(record.topic, record.partition, record.offset)

    async def _insist(self, work: Work, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step, again and again while the log or the disk is at fault: what was paid for is not dropped."""
        failures = 0
        while True:
            try:
                await step()
            except Exception as error:
                if not is_dependency_failure(error):
                    raise
                failures += 1
                reason = f"the log or the disk failed: {describe_failure(error)}"
                self._breaker.note_failure(work.key, reason, is_certain=True)
                await asyncio.sleep(pause_after(failures))
            else:
                return


def resolve_retry(record: Record) -> list[NewRecord]:
    """What becomes of the dead letter that was tried again with a request, if one was, once that request is done."""
    retry = read_retry(record)
    if retry is None:
        return []
    decision = DeadLetterResolved(dead_letter_id=retry.id, attempts=retry.attempts, resolution="replayed")
    return [encode(decision, source="replay", time=datetime.now(UTC), causation=record.position)]


def read_request(record: Record, topic: Topic) -> Request:
    """The request in a record.

    :param topic: where requests of its type are at home.
    :raises UnreadableRecord: it holds something else.
    """
    message = open_record(record).message
    if not isinstance(message, Request) or message.topic != topic:
        raise UnreadableRecord(
            f"The record holds {type(message).__name__}, which does not belong into {record.topic}.",
            error_class="schema",
        )
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
