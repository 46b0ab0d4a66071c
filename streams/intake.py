"""From Faust's stream to `Stage.take`, and back to Faust as acknowledgements.

Faust acknowledges a record whenever the loop body over a stream is left, by an exception and by a cancellation too,
and so does its `take`. So the stream is read without acknowledgements, and they are given here, in order, after
`Stage.take` has returned. While one batch is under way the next one gathers: a single record is taken at once, and a
backlog in batches, without any waiting for a batch to fill.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from postcall.records import Record
from streams.failures import describe_failure, is_dependency_failure, pause_after
from streams.stage import Stage

logger = logging.getLogger(__name__)

_BATCH_RECORDS = 100
_BATCH_BYTES = 8 * 1024 * 1024


class Intake:
    """Hands a stage its records, and Faust the acknowledgements.

    :param until_owned: returns once the stage owns the partition.
    """

    def __init__(self, stage: Stage, *, until_owned: Callable[[int], Awaitable[None]]) -> None:
        self._stage = stage
        self._until_owned = until_owned
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(maxsize=_BATCH_RECORDS)
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
            await self._finish(events)

    async def _next_batch(self) -> list[Any]:
        events = [await self._waiting.get()]
        size = len(events[0].message.value or b"")
        while len(events) < _BATCH_RECORDS and size < _BATCH_BYTES and not self._waiting.empty():
            events.append(self._waiting.get_nowait())
            size += len(events[-1].message.value or b"")
        return events

    async def _finish(self, events: Sequence[Any]) -> None:
        try:
            await self._stage.take([_read(event) for event in events])
        except Exception as error:  # noqa: BLE001 - whatever it is, the records must be taken again
            await self._finish_one_by_one(events, error)
            return
        for event in events:
            await self._release(event)

    async def _finish_one_by_one(self, events: Sequence[Any], error: Exception) -> None:
        """After a failure: the records alone, so that those before the one that fails are done with."""
        self._say_paused(error, events)
        failures = 1
        for event in events:
            record = _read(event)
            while True:
                await asyncio.sleep(pause_after(failures) if failures else 0)
                try:
                    await self._stage.take([record])
                except Exception as again:  # noqa: BLE001 - as above
                    failures += 1
                    if failures == 1 or type(again) is not type(error):
                        self._say_paused(again, [event])
                    error = again
                else:
                    break
            failures = 0
            await self._release(event)
        logger.info("Stage goes on", extra={"action": "resumed", "stage": self._stage.name})

    async def _release(self, event: Any) -> None:
        if self._acknowledge is not None:
            await self._acknowledge(event)

    def _say_paused(self, error: Exception, events: Sequence[Any]) -> None:
        cause = "the log or the disk" if is_dependency_failure(error) else "our own code"
        first = _read(events[0])
        logger.error(
            "Stage pauses and will try the same records again: %s",
            describe_failure(error),
            extra={
                "action": "paused",
                "stage": self._stage.name,
                "cause": cause,
                "records": len(events),
                "first": str(first.position),
            },
        )


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
