"""Slow stages: requests are filed in a short body, and worked on beside it.

`take` files; one task claims what is due, as far as there are free slots, and starts it. Nothing polls: that task
sleeps until the earliest `not_before`, or until something is filed, concluded or assigned. Live requests go before
those in bulk, which never have the last free slot. What a process ended with, and what is tried while the breaker is
open, runs alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar, cast
from uuid import UUID

from postcall.dead_letters import DeadLetter, ErrorClass, read_retry
from postcall.errors import UnreadableRecord
from postcall.log import open_record
from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.records import Record
from postcall.requests import Request
from postcall.topics import DEAD_LETTERS, Topic
from streams.appender import Appender
from streams.breaker import Breaker
from streams.bulk_intake import BulkIntake
from streams.catch_up import catch_up
from streams.conclusions import Conclusions, note_outcome, now_ms, read_request, resolve_retry
from streams.failures import describe_failure, format_frames, pause_after
from streams.set_aside import set_aside
from streams.stage import Stage
from streams.vigil import Vigil
from streams.work_index import Work, WorkIndex
from streams.worker import Worker

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Request)

# The wall clock may step, so no wait for a `not_before` is longer.
_LONGEST_WAIT_S = 60.0


class SlowStage(Stage, Generic[R]):
    """Runs a `Worker` on a topic of requests."""

    vigil: Vigil
    breaker: Breaker

    def __init__(self, worker: Worker[R], *, log: LogConnection, directory: Path, vigil: Vigil | None = None) -> None:
        self.name = worker.stage
        self._worker = worker
        self._log = log
        self._lanes = (worker.requests, *([worker.bulk_requests] if worker.bulk_requests else ()))
        self._index = WorkIndex(directory / f"{worker.stage}.sqlite3", lanes=[topic.name for topic in self._lanes])
        self.positions = self._index.positions
        self.journal = self._index.journal
        self.vigil = vigil or Vigil()
        self.breaker = Breaker(worker.stage)
        self._appender = Appender(log)
        self._conclusions = Conclusions(worker, index=self._index, appender=self._appender, breaker=self.breaker)
        self._bulk = (
            BulkIntake(worker.bulk_requests, log=log, positions=self.positions, file=self.take)
            if worker.bulk_requests
            else None
        )
        self._owned: set[int] = set()
        self._slots = asyncio.Semaphore(worker.concurrency)
        self._changed = asyncio.Event()
        self._running: dict[asyncio.Task[None], Work] = {}
        self._dispatching: asyncio.Task[None] | None = None

    @property
    def reads(self) -> Topic:
        """The topic of requests."""
        return self._worker.requests

    @property
    def follows(self) -> tuple[Topic, ...]:
        """Outcomes, requests and dead letters, in the order in which they are caught up with."""
        return (self._worker.outcomes, *self._lanes, DEAD_LETTERS)

    @property
    def index(self) -> WorkIndex:
        """What is to do and what is done."""
        return self._index

    async def open(self) -> None:
        """Open the worker, and begin to look for due work; there is none before a partition is owned."""
        await self._worker.open()
        self._dispatching = asyncio.create_task(self._dispatch())

    def forget(self) -> None:
        """Begin with an empty index, to be made again from the log."""
        self._index.forget()

    async def close(self) -> None:
        """Cancel what still runs; its requests are then claimed again after the start."""
        self.drain()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._worker.close()
        self._index.close()
        await self._appender.close()

    async def tend(self) -> None:
        """Read the requests in bulk."""
        await (self._bulk.run() if self._bulk else super().tend())

    async def catch_up(self, partition: int) -> None:
        """Read this partition's outcomes, requests and dead letters up to now."""
        topics = [topic.name for topic in self.follows]
        count = await catch_up(self._index, partition, topics=topics, apply=self._note, log=self._log)
        logger.log(
            logging.INFO if count else logging.DEBUG,
            "Caught up with a partition",
            extra={"action": "caught_up", "stage": self.name, "partition": partition, "records": count},
        )

    def own(self, partition: int) -> None:
        """Begin to work on this partition's requests."""
        self._owned.add(partition)
        self._tell_owned()

    def disown(self, partitions: frozenset[int]) -> None:
        """Claim nothing more of these partitions."""
        self._owned -= partitions
        self._tell_owned()

    def _tell_owned(self) -> None:
        if self._bulk is not None:
            self._bulk.own(frozenset(self._owned))
        self._changed.set()

    def drain(self) -> None:
        """Claim nothing more at all."""
        if self._dispatching is not None:
            self._dispatching.cancel()

    async def finish(self, limit_s: float) -> None:
        """Wait for the work that was claimed."""
        if self._running:
            await asyncio.wait(self._running, timeout=limit_s)

    async def take(self, records: Sequence[Record]) -> None:
        """File the requests; what cannot be read is set aside first.

        A dead letter that is tried again though its request is done meanwhile is resolved here: perhaps the process
        that did it ended before it could say so.
        """
        filed: list[tuple[UUID, Record]] = []
        letters = []
        for record in records:
            try:
                filed.append((read_request(record, self._worker.requests).request_id, record))
            except UnreadableRecord as error:
                letters.append(set_aside(record, stage=self.name, error_class=error.error_class, reason=str(error)))
        resolved = [
            decision
            for request_id, record in filed
            if read_retry(record) is not None and self._index.is_done(request_id)
            for decision in resolve_retry(record)
        ]
        await self._appender.append([*letters, *resolved])
        with self._index.transaction():
            for request_id, record in filed:
                self._index.file(request_id, record)
            self.positions.advance(records)
        self._changed.set()

    async def set_aside(self, record: Record, *, error_class: ErrorClass, reason: str, attempts: int) -> None:
        """Append the dead letter of a record that could not even be filed."""
        letter = set_aside(record, stage=self.name, error_class=error_class, reason=reason, attempts=attempts)
        await self._appender.append([letter])
        with self._index.transaction():
            self.positions.advance([record])

    def _note(self, record: Record) -> None:
        """One record of the log, while catching up. What cannot be read here is dealt with by who consumes it."""
        try:
            message = open_record(record).message
        except UnreadableRecord:
            return
        if isinstance(message, Request) and message.topic == self._worker.requests:
            self._index.file(message.request_id, record)
        elif isinstance(message, Outcome) and message.topic == self._worker.outcomes:
            note_outcome(self._index, message)
        elif isinstance(message, DeadLetter) and message.kafka_topic in {topic.name for topic in self._lanes}:
            self._index.set_aside_at(message.kafka_topic, message.kafka_partition, message.kafka_offset)

    async def _dispatch(self) -> None:
        while True:
            await self._slots.acquire()
            try:
                work = await self._next_due()
            except BaseException:
                self._slots.release()
                raise
            task = asyncio.create_task(self._conclude(work))
            self._running[task] = work

    async def _next_due(self) -> Work:
        failures = 0
        while True:
            self._changed.clear()
            if self.vigil.is_broken:
                await asyncio.get_running_loop().create_future()  # until cancelled: the process ends
            try:
                work, wait_s = self._claim()
            except Exception as error:  # noqa: BLE001 - the stage must go on looking for work
                self._say_failed(error, is_first=not failures)
                failures += 1
                await asyncio.sleep(pause_after(failures))
                continue
            if work is not None:
                return work
            await self._until_changed(wait_s)

    def _claim(self) -> tuple[Work | None, float | None]:
        """What may begin now; else for how long to wait, unless something changes before."""
        if self._running and (self.breaker.is_open or self._has_suspect()):
            return None, None
        if self.breaker.is_open and self.breaker.pause_s:
            return None, self.breaker.pause_s
        suspect = self._index.claim_suspect(self._owned)
        if suspect is not None:
            return suspect, None
        found = self._index.claim_due(self._owned, now_ms=now_ms(), lanes=None if self._may_take_bulk() else 1)
        if isinstance(found, Work):
            return found, None
        return None, None if found is None else min(max(0.0, (found - now_ms()) / 1000), _LONGEST_WAIT_S)

    def _has_suspect(self) -> bool:
        return any(work.crashes for work in self._running.values()) or self._index.has_suspects(self._owned)

    def _may_take_bulk(self) -> bool:
        in_bulk = sum(work.lane > 0 for work in self._running.values())
        return in_bulk < max(1, self._worker.concurrency - 1)

    async def _until_changed(self, limit_s: float | None) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _conclude(self, work: Work) -> None:
        try:
            await self._conclusions.conclude(work)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request must not stay as running
            self._say_failed(error, is_first=True)
            not_before_ms = now_ms() + round(1000 * _LONGEST_WAIT_S)
            with contextlib.suppress(sqlite3.Error):
                self._index.put_back(work.request_id, failures=work.failures, not_before_ms=not_before_ms)
        finally:
            # Before others hear of it: whether anything runs decides what may begin.
            self._running.pop(cast("asyncio.Task[None]", asyncio.current_task()), None)
            self._slots.release()
            self._changed.set()

    def _say_failed(self, error: Exception, *, is_first: bool) -> None:
        if is_first:
            logger.error(
                "Work could not be concluded: %s",
                describe_failure(error),
                extra={"action": "paused", "stage": self.name, "frames": format_frames(error)},
            )
