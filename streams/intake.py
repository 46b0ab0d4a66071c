"""From Faust's stream to `Stage.take`, and back to Faust as acknowledgements.

Faust acknowledges a record whenever the loop body over a stream is left, by an exception and by a cancellation too,
and so does its `take`. So the stream is read without acknowledgements, and they are given here, in order, after
`Stage.take` has returned. While one batch is under way the next one gathers: a single record is taken at once, and a
backlog in batches, without any waiting for a batch to fill.

When a batch fails, its records are taken one by one, so that those before the one that fails are done with. What fails
by our own code, while others get through, is set aside; what fails by the log or the disk is waited for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from postcall.crash_points import reach
from postcall.records import Record
from streams.breaker import Breaker
from streams.failures import CRASHED, MAX_CRASHES, MAX_FAILURES, describe_failure, is_dependency_failure, pause_after
from streams.stage import Stage

_BATCH_RECORDS = 100
_BATCH_BYTES = 8 * 1024 * 1024


class Intake:
    """Hands a stage its records, and Faust the acknowledgements.

    :param until_owned: returns once the stage owns the partition.
    """

    def __init__(self, stage: Stage, *, until_owned: Callable[[int], Awaitable[None]], breaker: Breaker) -> None:
        self._stage = stage
        self._until_owned = until_owned
        self._breaker = breaker
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(maxsize=_BATCH_RECORDS)
        # Taken from the queue for a look at what comes after a record that fails.
        self._ahead: deque[Any] = deque()
        self._acknowledge: Callable[[Any], Awaitable[bool]] | None = None

    async def receive(self, stream: Any) -> None:
        """The body of the Faust agent."""
        unacknowledged = stream.noack()
        self._acknowledge = unacknowledged.ack
        async for event in unacknowledged.events():
            await self._waiting.put(event)

    async def run(self) -> None:
        """Let the stage take all that is received, until cancelled."""
        while True:
            events = await self._next_batch()
            for partition in {event.message.partition for event in events}:
                await self._until_owned(partition)
            await self._until_awake()
            await self._finish(events)

    async def _until_awake(self) -> None:
        """Go no further in a process that slept through its session: what it was handed is somebody else's by now."""
        if self._stage.vigil is not None and self._stage.vigil.is_broken:
            await asyncio.get_running_loop().create_future()  # until cancelled: the process ends

    async def _next_batch(self) -> list[Any]:
        events = [self._ahead.popleft() if self._ahead else await self._waiting.get()]
        size = len(events[0].message.value or b"")
        while len(events) < _BATCH_RECORDS and size < _BATCH_BYTES and (self._ahead or not self._waiting.empty()):
            events.append(self._ahead.popleft() if self._ahead else self._waiting.get_nowait())
            size += len(events[-1].message.value or b"")
        return events

    async def _finish(self, events: Sequence[Any]) -> None:
        records = [_read(event) for event in events]
        are_suspect = any(self._stage.journal.crashes(record) for record in records)
        if are_suspect or not await self._take_all(records):
            for number, (event, record) in enumerate(zip(events, records, strict=True), start=1):
                await self._take_one(record, followers=records[number:])
                self._stage.journal.clear(record)
                await self._release(event)
            return
        self._breaker.note_success(str(records[-1].position))
        for event in events:
            await self._release(event)

    async def _take_all(self, records: Sequence[Record]) -> bool:
        try:
            with self._stage.journal.noting(records):
                await self._stage.take(records)
                reach("after_append_before_ack", who=self._stage.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the records are taken again one by one
            if is_dependency_failure(error):
                # It took its time to fail, and would again before it is told.
                self._breaker.note_failure(str(records[0].position), _explain(error), is_certain=True)
            return False
        return True

    async def _take_one(self, record: Record, *, followers: Sequence[Record]) -> None:
        if self._stage.journal.crashes(record) >= MAX_CRASHES:
            await self._set_aside(record, reason=CRASHED, attempts=MAX_CRASHES)
            return
        key = str(record.position)
        tries = failures = 0
        while True:
            await self._until_awake()
            try:
                with self._stage.journal.noting([record]):
                    await self._stage.take([record])
            except Exception as error:  # noqa: BLE001 - as above
                tries += 1
                failures += not is_dependency_failure(error)
                if failures >= MAX_FAILURES and self._others_get_through(followers):
                    await self._set_aside(record, reason=describe_failure(error), attempts=failures)
                    return
                self._breaker.note_failure(key, _explain(error), is_certain=True)
                await asyncio.sleep(pause_after(tries))
            else:
                self._breaker.note_success(key)
                return

    def _others_get_through(self, followers: Sequence[Record]) -> bool:
        """Whether our code does what it should with other records: those at hand, else those that were."""
        while not self._waiting.empty() and len(self._ahead) < _BATCH_RECORDS:
            self._ahead.append(self._waiting.get_nowait())
        others = [*followers, *(_read(event) for event in self._ahead)]
        if others:
            return any(map(self._gets_through, others))
        return self._breaker.has_succeeded

    def _gets_through(self, record: Record) -> bool:
        if self._stage.journal.crashes(record):
            return False
        with self._stage.journal.noting([record]):
            return self._stage.gets_through(record)

    async def _set_aside(self, record: Record, *, reason: str, attempts: int) -> None:
        key = str(record.position)
        tries = 0
        while True:
            try:
                await self._stage.set_aside(record, error_class="bug", reason=reason, attempts=attempts)
            except Exception as error:
                if not is_dependency_failure(error):
                    raise
                tries += 1
                self._breaker.note_failure(key, _explain(error), is_certain=True)
                await asyncio.sleep(pause_after(tries))
            else:
                self._breaker.note_success(key)
                return

    async def _release(self, event: Any) -> None:
        if self._acknowledge is not None:
            await self._acknowledge(event)


def _explain(error: Exception) -> str:
    cause = "the log or the disk" if is_dependency_failure(error) else "our own code"
    return f"{cause} failed: {describe_failure(error)}"


def _read(event: Any) -> Record:
    message = event.message
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=round((message.timestamp or 0) * 1000),
        key=message.key,
        value=message.value if message.value is not None else b"",
        headers=tuple((name, bytes(value or b"")) for name, value in message.headers or ()),
    )
