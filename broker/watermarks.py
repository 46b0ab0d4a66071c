"""High watermarks: up to where each partition may be read, and who waits for more.

A record may be read once it is durable, so the high watermark is the log end offset after the last commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from broker.topics import PartitionKey


class Watermarks:
    """The high watermarks of all partitions; belongs to the event loop."""

    def __init__(self) -> None:
        self._high: dict[PartitionKey, int] = {}
        self._waiting: dict[PartitionKey, set[asyncio.Event]] = {}

    def high(self, partition: PartitionKey) -> int:
        """The offset below which everything may be read."""
        return self._high.get(partition, 0)

    def advance(self, partition: PartitionKey, next_offset: int) -> None:
        """Let readers read up to an offset, and wake those that wait; never goes back."""
        if next_offset > self._high.get(partition, 0):
            self._high[partition] = next_offset
            self._wake(partition)

    def forget(self, partition: PartitionKey) -> None:
        """A partition is gone: those that wait for it look again."""
        self._high.pop(partition, None)
        self._wake(partition)

    @contextlib.contextmanager
    def watch(self, partitions: Iterable[PartitionKey]) -> Iterator[asyncio.Event]:
        """An event that is set when any of the partitions changes, for as long as the context lasts."""
        event = asyncio.Event()
        watched = set(partitions)
        for partition in watched:
            self._waiting.setdefault(partition, set()).add(event)
        try:
            yield event
        finally:
            for partition in watched:
                self._stop_waiting(partition, event)

    def _wake(self, partition: PartitionKey) -> None:
        for event in self._waiting.get(partition, ()):
            event.set()

    def _stop_waiting(self, partition: PartitionKey, event: asyncio.Event) -> None:
        waiting = self._waiting[partition]
        waiting.discard(event)
        if not waiting:
            del self._waiting[partition]
