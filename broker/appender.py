"""Group commit: one thread writes, and all that waits when it begins shares one transaction and one fsync.

An operation is refused by raising a `BrokerError` before it writes anything; then only this operation fails. Any other
error undoes the whole group: nobody in it is told that anything was kept.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from broker.errors import BrokerError, StorageFailed
from broker.partition_writer import PartitionWriter
from broker.storage import Storage

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_MOST_OPERATIONS_AT_ONCE = 512
_MOST_BYTES_AT_ONCE = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    operation: Callable[[PartitionWriter], Any]
    #: Told of the result on the event loop, before whoever waits for it.
    committed: Callable[[Any], None]
    future: asyncio.Future[Any]
    content_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    work: _Work
    result: Any = None
    error: BrokerError | None = None


class Appender:
    """The only writer of the database."""

    def __init__(self, storage: Storage, loop: asyncio.AbstractEventLoop) -> None:
        self._storage = storage
        self._writer = PartitionWriter(storage)
        self._loop = loop
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._commit_groups, name="appender", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    async def stop(self) -> None:
        """Write what was submitted, then end."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(
        self,
        operation: Callable[[PartitionWriter], Result],
        *,
        committed: Callable[[Result], None] = lambda _: None,
        content_bytes: int = 0,
    ) -> asyncio.Future[Result]:
        """Queue an operation; operations run in the order of submission. The future has the result once it is durable.

        `committed` is called with the result on the event loop, before the future is done.

        :raises BrokerError: (from the future) as the operation raised it.
        :raises StorageFailed: (from the future) the disk refused; nothing was kept.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.put(
            _Work(operation=operation, committed=committed, future=future, content_bytes=content_bytes),
        )
        return future

    def _commit_groups(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._take_group()
            if group:
                outcomes = self._commit_group(group)
                self._loop.call_soon_threadsafe(_deliver, outcomes)

    def _take_group(self) -> tuple[list[_Work], bool]:
        group: list[_Work] = []
        waiting_bytes = 0
        work = self._queue.get()
        while work is not None:
            group.append(work)
            waiting_bytes += work.content_bytes
            if len(group) >= _MOST_OPERATIONS_AT_ONCE or waiting_bytes >= _MOST_BYTES_AT_ONCE:
                return group, True
            try:
                work = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit_group(self, group: list[_Work]) -> list[_Outcome]:
        try:
            self._storage.begin()
            outcomes = [self._run(work) for work in group]
            self._storage.commit()
        except Exception as error:  # noqa: BLE001 - whatever it was, none of the group may be acknowledged
            return self._undo_group(group, error)
        return outcomes

    def _run(self, work: _Work) -> _Outcome:
        try:
            return _Outcome(work=work, result=work.operation(self._writer))
        except BrokerError as error:
            return _Outcome(work=work, error=error)

    def _undo_group(self, group: list[_Work], error: Exception) -> list[_Outcome]:
        logger.error(
            "Nothing was kept of a group of writes: %s",
            error,
            extra={"action": "group_undone", "operations": len(group)},
            exc_info=None if isinstance(error, sqlite3.Error) else error,
        )
        self._writer.forget()
        try:
            self._storage.rollback()
        except sqlite3.Error:
            logger.exception("The database does not undo a transaction", extra={"action": "rollback_failed"})
        refusal = StorageFailed(f"The log cannot be written: {error}.")
        return [_Outcome(work=work, error=refusal) for work in group]


def _deliver(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        if outcome.error is None:
            outcome.work.committed(outcome.result)
        if outcome.work.future.cancelled():
            continue
        if outcome.error is None:
            outcome.work.future.set_result(outcome.result)
        else:
            outcome.work.future.set_exception(outcome.error)
