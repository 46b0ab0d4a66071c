"""The log as the requests see it: topics to look up, batches to append and to read, offsets to find and to commit.

It belongs to the event loop. Writes go to the appender's thread, reads that touch the database to reading threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from broker.appender import Appender
from broker.errors import OffsetOutOfRange, StorageFailed
from broker.partition_writer import AppendResult
from broker.record_batches import NewRecordBatch, first_record_at
from broker.storage import CommittedOffset, Storage, open_to_read, open_to_write
from broker.topics import Catalogue, NewTopic, PartitionKey, Topic
from broker.watermarks import Watermarks

Result = TypeVar("Result")

_READING_THREADS = 2
_PRODUCERS_KEPT_MS = 7 * 24 * 3600 * 1000


class Log:
    """An open log."""

    def __init__(self, path: Path) -> None:
        """Open the log at a path, or make it.

        :raises StorageFailed: the database cannot be opened.
        """
        self._storage = open_to_write(path)
        self._connections: queue.SimpleQueue[Storage] = queue.SimpleQueue()
        self.topics = Catalogue()
        self.watermarks = Watermarks()
        try:
            self.cluster_id = self._storage.cluster_id()
            self._load()
            for _ in range(_READING_THREADS):
                self._connections.put(open_to_read(path))
        except (sqlite3.Error, StorageFailed) as error:
            self._close_connections()
            raise StorageFailed(f"Cannot open the log at {path}: {error}") from error
        self._reading = ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="reader")
        self._appender = Appender(self._storage, asyncio.get_running_loop())
        self._appender.start()

    async def close(self) -> None:
        """Write what was submitted, and close the database."""
        await self._appender.stop()
        await asyncio.to_thread(self._reading.shutdown)
        self._close_connections()

    def append(self, partition: PartitionKey, batch: NewRecordBatch) -> asyncio.Future[AppendResult]:
        """Append a batch; the future is done once it is durable. Batches keep the order of the calls.

        :raises BrokerError: (from the future) the batch is refused.
        """
        return self._appender.submit(
            lambda writer: writer.append(partition, batch),
            committed=lambda result: self.watermarks.advance(partition, result.next_offset),
            content_bytes=len(batch.content),
        )

    async def read(
        self, partition: PartitionKey, offset: int, *, max_bytes: int, at_least_one: bool = True
    ) -> list[bytes]:
        """The batches from the one that holds an offset; none if the offset is the high watermark.

        With `at_least_one` the first batch is returned however large it is, so that a reader always gets on.

        :raises OffsetOutOfRange: the offset is not in the log.
        """
        high_watermark = self.watermarks.high(partition)
        if not 0 <= offset <= high_watermark:
            raise OffsetOutOfRange
        if offset == high_watermark:
            return []
        offsets = range(offset, high_watermark)
        return await self._read(
            lambda storage: storage.read_batches(partition, offsets, max_bytes=max_bytes, at_least_one=at_least_one)
        )

    async def offset_at(self, partition: PartitionKey, timestamp_ms: int) -> tuple[int, int] | None:
        """Offset and timestamp of the first record that is not older than a time."""

        def find(storage: Storage) -> tuple[int, int] | None:
            content = storage.batch_at(partition, timestamp_ms)
            return None if content is None else first_record_at(content, timestamp_ms)

        found = await self._read(find)
        return found if found is not None and found[0] < self.watermarks.high(partition) else None

    async def create_topic(self, topic: NewTopic) -> Topic:
        """Create a topic.

        :raises TopicAlreadyExists: one of this name is there.
        """
        return await self._appender.submit(lambda writer: writer.create_topic(topic), committed=self.topics.add)

    async def delete_topic(self, topic: Topic) -> None:
        """Delete a topic with all its records.

        :raises StorageFailed: the disk refused; the topic is still there.
        """
        # Unknown from now on, so that no append can be queued behind the deletion.
        self.topics.remove(topic)
        try:
            await self._appender.submit(lambda writer: writer.delete_topic(topic.topic_number))
        except StorageFailed:
            self.topics.add(topic)
            raise
        for index in range(topic.partition_count):
            self.watermarks.forget(topic.partition(index))

    async def take_producer_id(self) -> int:
        """A producer id that none had before."""
        return await self._appender.submit(lambda writer: writer.take_producer_id())

    async def commit_offsets(self, group_id: str, offsets: Sequence[CommittedOffset]) -> None:
        """Commit a group's offsets, durably."""
        await self._appender.submit(lambda writer: writer.commit_offsets(group_id, offsets))

    async def committed_offsets(self, group_id: str) -> dict[PartitionKey, CommittedOffset]:
        """All that a group has committed, by partition."""
        offsets = await self._read(lambda storage: storage.committed_offsets(group_id))
        return {committed.partition: committed for committed in offsets}

    async def group_ids(self) -> list[str]:
        """The groups that have committed offsets."""
        return await self._read(lambda storage: storage.group_ids())

    def _close_connections(self) -> None:
        while not self._connections.empty():
            self._connections.get().close()
        self._storage.close()

    def _load(self) -> None:
        # On a full disk this waits for a later start: what the log has can be read meanwhile.
        with contextlib.suppress(sqlite3.OperationalError):
            self._storage.delete_stale_producers(before_ms=time.time_ns() // 1_000_000 - _PRODUCERS_KEPT_MS)
        for topic in self._storage.topics():
            self.topics.add(topic)
            for index in range(topic.partition_count):
                partition = topic.partition(index)
                self.watermarks.advance(partition, self._storage.partition_end(partition)[0])

    async def _read(self, read: Callable[[Storage], Result]) -> Result:
        def run() -> Result:
            storage = self._connections.get()
            try:
                return read(storage)
            except sqlite3.Error as error:
                raise StorageFailed(f"The log cannot be read: {error}.") from error
            finally:
                self._connections.put(storage)

        return await asyncio.get_running_loop().run_in_executor(self._reading, run)
