"""Trying dead letters again, batch by batch: what is derived first, and once that is durable, that they are closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from postcall.crash_points import reach
from postcall.log_connection import LogConnection
from streams.appender import Appender
from streams.replay.dead_letters_records import read_pointed_at
from streams.replay.dead_letters_retry import Fate, Retrial, Retried, dismiss
from streams.replay.dead_letters_selection import OpenLetter

_BATCH_LETTERS: Final = 100
_BATCH_BYTES: Final = 8 * 1024 * 1024

#: Told how many letters are done with, batch by batch.
OnProgress = Callable[[int], None]


async def retry_letters(
    letters: Sequence[OpenLetter], retrial: Retrial, *, log: LogConnection, on_progress: OnProgress
) -> Counter[Fate]:
    """Try letters again, in the order of their records; returns what became of how many.

    Cut short at any moment, it has closed no letter too many, and may be run again.

    :raises LogUnavailable: the log does not answer.
    """
    async with _batches(log, on_progress) as batches, aclosing(read_pointed_at(log, letters)) as pointed_at:
        async for letter, record in pointed_at:
            await batches.add(retrial.retry(letter, record))
    return batches.fates


async def dismiss_letters(
    letters: Iterable[OpenLetter], *, log: LogConnection, on_progress: OnProgress
) -> Counter[Fate]:
    """Let letters be, whatever their records are.

    :raises LogUnavailable: the log does not answer.
    """
    async with _batches(log, on_progress) as batches:
        for letter in letters:
            await batches.add(dismiss(letter))
    return batches.fates


@asynccontextmanager
async def _batches(log: LogConnection, on_progress: OnProgress) -> AsyncIterator[_Batches]:
    appender = Appender(log)
    try:
        batches = _Batches(appender, on_progress)
        yield batches
        await batches.append()
    finally:
        await appender.close()


class _Batches:
    """Gathers what follows for letters, and appends it."""

    def __init__(self, appender: Appender, on_progress: OnProgress) -> None:
        self.fates: Counter[Fate] = Counter()
        self._appender = appender
        self._on_progress = on_progress
        self._gathered: list[Retried] = []
        self._bytes = 0

    async def add(self, retried: Retried) -> None:
        self._gathered.append(retried)
        self._bytes += sum(len(record.value) for record in retried.records)
        if len(self._gathered) >= _BATCH_LETTERS or self._bytes >= _BATCH_BYTES:
            await self.append()

    async def append(self) -> None:
        await self._appender.append([record for retried in self._gathered for record in retried.records])
        reach("after_derived_before_decision", who="replay")
        # Only now: a letter that is closed before its records are durable would never be tried again.
        await self._appender.append([retried.decision for retried in self._gathered if retried.decision is not None])
        self.fates.update(retried.fate for retried in self._gathered)
        self._on_progress(self.fates.total())
        self._gathered, self._bytes = [], 0
