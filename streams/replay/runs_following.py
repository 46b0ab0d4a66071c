"""Keeping a run's ledger in step with the log, while the run asks for more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from postcall.log_connection import LogConnection
from postcall.topics import ANALYSIS_BACKFILL, DEAD_LETTERS, INSIGHTS
from streams.replay.runs import RunLedger
from streams.replay.runs_reading import read_ends, read_on

#: Requests, too: those that an earlier life of the run asked for are waited for like one's own.
FOLLOWED = (ANALYSIS_BACKFILL, INSIGHTS, DEAD_LETTERS)


class Following:
    """What a run waits with."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.reading: asyncio.Task[None] | None = None

    async def read(self, ledger: RunLedger, log: LogConnection, caught_up: asyncio.Event) -> None:
        """Apply all that comes, until cancelled; `caught_up` is set once all that lies there was read."""
        async with aclosing(read_on(log, await read_ends(log, FOLLOWED))) as batches:
            async for records, has_reached in batches:
                for record in records:
                    ledger.apply(record)
                if has_reached:
                    caught_up.set()
                self._changed.set()

    async def until(self, check: Callable[[], bool]) -> None:
        """Return once `check` holds, which it can only come to by a record of the log.

        :raises LogUnavailable: the log stopped answering.
        """
        assert self.reading is not None, "until before read"  # noqa: S101 - a broken contract is a bug
        while not check():
            self._changed.clear()
            changed = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait([changed, self.reading], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if self.reading.done():
                self.reading.result()


@asynccontextmanager
async def following(ledger: RunLedger, log: LogConnection) -> AsyncIterator[Following]:
    """Follow the log while the block runs; it begins once the ledger knows all that lies there.

    :raises LogUnavailable: the log does not answer.
    """
    caught_up = asyncio.Event()
    follow = Following()
    follow.reading = asyncio.create_task(follow.read(ledger, log, caught_up))
    try:
        await follow.until(caught_up.is_set)
        yield follow
    finally:
        follow.reading.cancel()
        await asyncio.gather(follow.reading, return_exceptions=True)
