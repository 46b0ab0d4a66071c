"""The database: one SQLite file in WAL mode, every commit on the disk before it is reported.

A `Storage` is one connection and belongs to one thread at a time. One writes (the appender's), others read.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from broker.errors import StorageFailed
from broker.sql import QUERIES, SCHEMA
from broker.topics import NewTopic, PartitionKey, Topic

SCHEMA_VERSION = 1
_PAGE_BYTES = 8192
_WRITER_CACHE_KIB = 8192
_READER_CACHE_KIB = 2048
#: What is left of the write-ahead log after a checkpoint, so that one large batch does not hold its space for ever.
_WAL_BYTES_KEPT = 32 * 1024 * 1024
_MOST_BATCHES_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBatch:
    """Where a record batch lies and what it holds."""

    partition: PartitionKey
    base_offset: int
    next_offset: int
    newest_timestamp_ms: int
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class CommittedOffset:
    """A consumer group's place in a partition, with the text that the client put beside it."""

    partition: PartitionKey
    offset: int
    metadata: str


class Storage:
    """One connection to the database, with a method for each statement."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the connection; the last one to close folds the write-ahead log into the file."""
        self._connection.close()

    def begin(self) -> None:
        """Open a transaction that writes."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable: when this returns, it is on the disk."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the open transaction, if SQLite has not done so itself."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def cluster_id(self) -> str:
        """This log's identity, made at the first start."""
        row = self._one("select_cluster")
        if row is None:
            made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            self._run("insert_cluster", cluster_id=made, schema_version=SCHEMA_VERSION)
            return made
        cluster_id, schema_version = row
        if schema_version != SCHEMA_VERSION:
            raise StorageFailed(
                f"The log is of schema {schema_version}, this release reads {SCHEMA_VERSION}. "
                "Run the release that wrote it, or a newer one."
            )
        return str(cluster_id)

    def take_producer_id(self) -> int:
        """A producer id that none had before."""
        (producer_id,) = self._one("select_next_producer_id")
        self._run("advance_next_producer_id")
        return int(producer_id)

    def topics(self) -> list[Topic]:
        """All topics."""
        return [
            Topic(
                topic_number=number,
                name=name,
                topic_id=UUID(bytes=topic_id),
                partition_count=count,
                configs=json.loads(configs),
            )
            for number, name, topic_id, count, configs in self._run("select_topics")
        ]

    def has_topic(self, name: str) -> bool:
        """Whether a topic of this name exists."""
        return self._one("select_topic_number", name=name) is not None

    def insert_topic(self, topic: NewTopic) -> Topic:
        """Create a topic, with an id of its own."""
        topic_id = uuid.uuid4()
        inserted = self._run(
            "insert_topic",
            name=topic.name,
            topic_id=topic_id.bytes,
            partition_count=topic.partition_count,
            configs=json.dumps(dict(topic.configs), sort_keys=True),
        )
        return Topic(
            topic_number=inserted.lastrowid or 0,
            topic_id=topic_id,
            name=topic.name,
            partition_count=topic.partition_count,
            configs=topic.configs,
        )

    def delete_topic(self, topic_number: int) -> None:
        """Delete a topic with its records, producers and committed offsets."""
        for query in ("delete_topic_batches", "delete_topic_producers", "delete_topic_offsets", "delete_topic"):
            self._run(query, topic_number=topic_number)

    def partition_end(self, partition: PartitionKey) -> tuple[int, int]:
        """The log end offset of a partition and its newest timestamp; 0 and -1 while it is empty."""
        return self._one("select_partition_end", **partition._asdict()) or (0, -1)

    def insert_batch(self, batch: StoredBatch) -> None:
        """Append a record batch."""
        self._run(
            "insert_batch",
            **batch.partition._asdict(),
            base_offset=batch.base_offset,
            next_offset=batch.next_offset,
            newest_timestamp_ms=batch.newest_timestamp_ms,
            content_bytes=len(batch.content),
            content=batch.content,
        )

    def read_batches(
        self, partition: PartitionKey, offsets: range, *, max_bytes: int, at_least_one: bool
    ) -> list[bytes]:
        """The batches from the one that holds the first of the offsets to the last, of `max_bytes` in all.

        With `at_least_one` the first batch is returned however large it is.
        """
        sizes = self._run(
            "select_batch_sizes",
            **partition._asdict(),
            from_offset=offsets.start,
            to_offset=offsets.stop,
            batch_limit=_MOST_BATCHES_AT_ONCE,
        )
        end = _offset_within(sizes, max_bytes, at_least_one=at_least_one)
        if end is None:
            return []
        rows = self._run("select_batches", **partition._asdict(), from_offset=offsets.start, to_offset=end)
        return [content for (content,) in rows]

    def batch_at(self, partition: PartitionKey, timestamp_ms: int) -> bytes | None:
        """The first batch that holds a record not older than a time."""
        row = self._one("select_batch_by_time", **partition._asdict(), timestamp_ms=timestamp_ms)
        return None if row is None else bytes(row[0])

    def producer(self, partition: PartitionKey, producer_id: int) -> tuple[int, str] | None:
        """Epoch and recent batches (as JSON) of an idempotent producer in a partition."""
        row = self._one("select_producer", **partition._asdict(), producer_id=producer_id)
        return None if row is None else (row[0], row[1])

    def upsert_producer(
        self, partition: PartitionKey, *, producer_id: int, producer_epoch: int, recent: str, updated_at_ms: int
    ) -> None:
        """Note what an idempotent producer just appended."""
        self._run(
            "upsert_producer",
            **partition._asdict(),
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            recent=recent,
            updated_at_ms=updated_at_ms,
        )

    def delete_stale_producers(self, before_ms: int) -> None:
        """Forget producers that have been silent since."""
        self._run("delete_stale_producers", before_ms=before_ms)

    def upsert_committed_offsets(self, group_id: str, offsets: Iterable[CommittedOffset], committed_at_ms: int) -> None:
        """Commit a group's offsets."""
        for committed in offsets:
            self._run(
                "upsert_committed_offset",
                **committed.partition._asdict(),
                group_id=group_id,
                committed_offset=committed.offset,
                metadata=committed.metadata,
                committed_at_ms=committed_at_ms,
            )

    def committed_offsets(self, group_id: str) -> list[CommittedOffset]:
        """All that a group has committed."""
        return [
            CommittedOffset(partition=PartitionKey(number, index), offset=offset, metadata=metadata)
            for number, index, offset, metadata in self._run("select_committed_offsets", group_id=group_id)
        ]

    def group_ids(self) -> list[str]:
        """The groups that have committed offsets."""
        return [group_id for (group_id,) in self._run("select_group_ids")]

    def _run(self, query: str, /, **values: Any) -> sqlite3.Cursor:
        return self._connection.execute(QUERIES[query], values)

    def _one(self, query: str, /, **values: Any) -> Any:
        return self._run(query, **values).fetchone()


def open_to_write(path: Path) -> Storage:
    """Open the database that one process writes, and make what is missing.

    :raises StorageFailed: the file cannot be opened, or is not a log of this release.
    """
    try:
        connection = _connect(path, _WRITER_CACHE_KIB)
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS only this reaches the disk; elsewhere it does nothing
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
        connection.executescript(SCHEMA)
    except sqlite3.Error as error:
        raise StorageFailed(f"Cannot open the log at {path}: {error}.") from error
    return Storage(connection)


def open_to_read(path: Path) -> Storage:
    """Open a connection that only reads."""
    connection = _connect(path, _READER_CACHE_KIB)
    connection.execute("PRAGMA query_only = ON")
    return Storage(connection)


def _connect(path: Path, cache_kib: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def _offset_within(sizes: Iterable[tuple[int, int]], max_bytes: int, *, at_least_one: bool) -> int | None:
    """The offset after the last batch that fits; None if none does."""
    end: int | None = None
    left = max_bytes
    for next_offset, content_bytes in sizes:
        if content_bytes > left and not (at_least_one and end is None):
            break
        left -= content_bytes
        end = next_offset
    return end
