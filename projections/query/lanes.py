"""Queries for many at once: so many lanes, each with a thread; who finds none free waits, and then gives up.

The threads are no others' threads: however many queries run or wait, whatever else the service does in threads goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from projections.errors import QueriesBusy
from projections.query.runner import Answer, QueryRunner, Statement

_T = TypeVar("_T")


class QueryLanes:
    """Runs queries for the tasks of an event loop.

    :param patience_s: how long a query waits for its turn; by default as long as it may then run.
    """

    def __init__(self, runner: QueryRunner, *, patience_s: float | None = None) -> None:
        count = runner.settings.sql_concurrency
        self._runner = runner
        self._patience_s = runner.settings.sql_deadline_s if patience_s is None else patience_s
        self._free = asyncio.Semaphore(count)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="query")

    @contextlib.asynccontextmanager
    async def answer(self, statement: Statement) -> AsyncIterator[Answer]:
        """The answer to a statement. With the block, the query ends, whatever it is doing.

        :raises QueriesBusy: no lane became free in time.
        :raises QueryError: refused, failed, or stopped.
        """
        await self._wait_for_lane()
        query = self._runner.prepare(statement)
        try:
            yield await self._in_thread(query.run)
        finally:
            query.cancel()
            self._free.release()

    async def read_chunks(self, answer: Answer) -> AsyncIterator[bytes]:
        """The body of an answer.

        :raises QueryError: the query ended before its answer was whole.
        """
        chunks = answer.chunks()
        while (chunk := await self._in_thread(lambda: next(chunks, None))) is not None:
            yield chunk

    async def _wait_for_lane(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            raise QueriesBusy from None

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
