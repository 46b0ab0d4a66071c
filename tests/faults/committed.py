"""Watching what consumer groups commit: whoever commits, an offset never goes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from postcall.errors import LogUnavailable
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection

_INTERVAL_S = 0.2

Committed = dict[TopicPartition, int]


class OffsetWatch:
    """What was seen so far."""

    def __init__(self) -> None:
        self.looks = 0
        self.latest: dict[str, Committed] = {}
        #: In words, for a test's failure.
        self.went_back: list[str] = []

    def note(self, group: str, committed: Committed) -> None:
        """Compare with what was seen before."""
        self.looks += 1
        before = self.latest.get(group, {})
        for place, offset in committed.items():
            if offset < before.get(place, -1):
                self.went_back.append(f"{group}: {place.topic}/{place.partition} from {before[place]} to {offset}")
        self.latest[group] = before | committed


async def _no_more(_group: str, _committed: Committed) -> None:
    """Nothing else is of interest."""


@asynccontextmanager
async def watched_offsets(
    log: LogConnection,
    groups: Collection[str],
    *,
    on_look: Callable[[str, Committed], Awaitable[None]] = _no_more,
) -> AsyncIterator[OffsetWatch]:
    """Look at the committed offsets of groups again and again while the block runs, whenever the log answers.

    :param on_look: called after each look; what it raises is raised at the end of the block.
    """
    watch = OffsetWatch()
    watching = asyncio.create_task(_look(log, groups, watch, on_look))
    try:
        yield watch
    finally:
        if not watching.done():
            watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _look(
    log: LogConnection,
    groups: Collection[str],
    watch: OffsetWatch,
    on_look: Callable[[str, Committed], Awaitable[None]],
) -> None:
    while True:
        with suppress(KafkaError, LogUnavailable):
            async with open_admin(log) as admin:
                while True:
                    for group in groups:
                        found = await admin.list_consumer_group_offsets(group)
                        committed = {place: meta.offset for place, meta in found.items()}
                        watch.note(group, committed)
                        await on_look(group, committed)
                    await asyncio.sleep(_INTERVAL_S)
        await asyncio.sleep(_INTERVAL_S)
