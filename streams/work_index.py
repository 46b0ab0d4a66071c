"""The work index: what a slow stage has to do, and what is done already.

A cache of the log in SQLite: each transaction moves a position in the log together with what was read there, so after
any crash the rest is read again, and a lost file is made again from offset zero. It therefore needs no fsync of its
own (`synchronous=NORMAL`): what a power cut takes back, it takes back with its position. One process, one thread;
all calls are short. What waits in here for months is the request's id and state; its body is dropped once it is done.

It is also the crash journal of slow work: what is found running at the start ended a process, or was ended with it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import orjson

from postcall.dead_letters import read_retry
from postcall.file_locks import LockTaken, take_lock
from postcall.records import Record
from streams.errors import StageFileUnusable
from streams.journal import JOURNAL_SCHEMA, Journal
from streams.kept_positions import POSITIONS_SCHEMA, KeptPositions, in_transaction, open_stage_file

_SCHEMA_VERSION = 5
_SCHEMA = """
CREATE TABLE work (
    request_id BLOB PRIMARY KEY,              -- its 16 bytes
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'set_aside')),
    attempts INTEGER NOT NULL DEFAULT 0,      -- outcomes so far
    failures INTEGER NOT NULL DEFAULT 0,      -- of our own, since the last outcome
    crashes INTEGER NOT NULL DEFAULT 0,       -- processes that ended while it was running, since the last outcome
    not_before_ms INTEGER NOT NULL DEFAULT 0,
    lane INTEGER,                             -- of the topics that requests come from: which; the first goes before
    partition INTEGER,
    kafka_offset INTEGER,
    record BLOB                               -- the request; NULL before it was read and after it was done
);
CREATE INDEX work_due ON work (lane, partition, not_before_ms, kafka_offset)
    WHERE state = 'waiting' AND record IS NOT NULL;
CREATE INDEX work_suspect ON work (partition) WHERE state = 'waiting' AND crashes > 0;
CREATE INDEX work_place ON work (lane, partition, kafka_offset);
"""
# Request ids are hashes, so each goes to another page: with SQLite's 2 MB of cache and 4 MB of log, catching up with a
# million of them reads and writes the same pages hundreds of times. Both are taken only as needed.
_CACHE_KB = 64 * 1024
_CHECKPOINT_PAGES = 10_000
# Of each partition the request that is due first: one look into the index per partition, whatever waits in it.
_FIRST_IN_LINE = """
SELECT work.request_id, work.record, work.attempts, work.failures, work.crashes, work.lane, work.not_before_ms
FROM json_each(?) AS owned JOIN work ON work.rowid = (
    SELECT rowid FROM work
    WHERE lane = ? AND partition = owned.value AND state = 'waiting' AND record IS NOT NULL
    ORDER BY not_before_ms, kafka_offset LIMIT 1
)
ORDER BY work.not_before_ms, work.kafka_offset LIMIT 1
"""
_SUSPECT = """
SELECT request_id, record, attempts, failures, crashes, lane, not_before_ms FROM work
WHERE state = 'waiting' AND crashes > 0 AND record IS NOT NULL AND partition IN (SELECT value FROM json_each(?))
ORDER BY crashes, not_before_ms LIMIT 1
"""
_ANY_SUSPECT = "SELECT 1 FROM work WHERE state = 'waiting' AND crashes > 0 LIMIT 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A request that was claimed: the record it came in, and how often it was tried."""

    request_id: UUID
    record: Record
    attempts: int
    failures: int
    crashes: int
    #: 0 = live; what is asked for in bulk comes after it.
    lane: int

    @property
    def key(self) -> str:
        """Names it in logs and counts."""
        return str(self.request_id)


class WorkIndex:
    """The index of one stage.

    :param lanes: the topics that requests come from, the more urgent first.
    :raises StageFileUnusable: the disk refuses, or another process has the file.
    """

    def __init__(self, path: Path, *, lanes: Sequence[str]) -> None:
        self._lanes = tuple(lanes)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path.with_suffix(".lock"))
        try:
            schema = POSITIONS_SCHEMA + JOURNAL_SCHEMA + _SCHEMA
            self._database = open_stage_file(path, schema=schema, version=_SCHEMA_VERSION)
            self._database.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            self._database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        except StageFileUnusable:
            self._lock.close()
            raise
        self.positions = KeptPositions(self._database)
        self.journal = Journal(self._database)
        # What was running when the process before ended is work again, and suspect.
        self._database.execute("UPDATE work SET state = 'waiting', crashes = crashes + 1 WHERE state = 'running'")
        self._had_suspects = self._database.execute(_ANY_SUSPECT).fetchone() is not None

    def close(self) -> None:
        """Close the file, and let another process have it; what still runs was cancelled, and is not suspect."""
        with contextlib.suppress(sqlite3.Error):
            self._database.execute("UPDATE work SET state = 'waiting' WHERE state = 'running'")
        self._database.close()
        self._lock.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All changes within, or none."""
        return in_transaction(self._database)

    def forget(self) -> None:
        """Know nothing any more, neither work nor positions, as if the file had been deleted."""
        with self.transaction():
            self._database.execute("DELETE FROM work")
            self.positions.forget()
            self.journal.forget()

    # What the log says

    def file(self, request_id: UUID, record: Record) -> None:
        """File a request; one that is known keeps its state.

        One that was set aside and is asked for again waits again, whether the dead letter was read yet or not. One
        that waits in bulk and is asked for live becomes live.
        """
        self._database.execute(
            "INSERT INTO work (request_id, state, lane, partition, kafka_offset, record)"
            " VALUES (:id, 'waiting', :lane, :partition, :offset, :record) ON CONFLICT DO UPDATE"
            " SET lane = :lane, partition = :partition, kafka_offset = :offset, record = :record, state = 'waiting',"
            " failures = iif(:is_retry, 0, failures), crashes = iif(:is_retry, 0, crashes)"
            " WHERE (state = 'waiting' AND (record IS NULL OR :lane < lane))"
            " OR (:is_retry AND state IN ('waiting', 'set_aside'))",
            {
                "id": request_id.bytes,
                "lane": self._lane_of(record.topic),
                "partition": record.partition,
                "offset": record.offset,
                "record": _pack(record),
                "is_retry": read_retry(record) is not None,
            },
        )

    def finish(self, request_id: UUID) -> None:
        """Note that a request has its final outcome, be the request itself known yet or not."""
        self._database.execute(
            "INSERT INTO work (request_id, state) VALUES (?, 'done') ON CONFLICT DO UPDATE"
            " SET state = 'done', record = NULL",
            (request_id.bytes,),
        )

    def defer(self, request_id: UUID, *, attempt: int, not_before_ms: int) -> None:
        """Note that an attempt ended in waiting; an older one than the newest known changes nothing."""
        self._database.execute(
            "INSERT INTO work (request_id, state, attempts, not_before_ms) VALUES (?, 'waiting', ?, ?)"
            " ON CONFLICT DO UPDATE"
            " SET state = 'waiting', attempts = excluded.attempts, failures = 0, crashes = 0,"
            " not_before_ms = excluded.not_before_ms"
            " WHERE state != 'done' AND excluded.attempts > attempts",
            (request_id.bytes, attempt, not_before_ms),
        )

    def set_aside_at(self, topic: str, partition: int, offset: int) -> None:
        """Note that the request that lies there was set aside, unless it was asked for again elsewhere."""
        self._database.execute(
            "UPDATE work SET state = 'set_aside', record = NULL"
            " WHERE lane = ? AND partition = ? AND kafka_offset = ? AND state != 'done'",
            (self._lane_of(topic), partition, offset),
        )

    # What this process does

    def claim_suspect(self, partitions: Iterable[int]) -> Work | None:
        """Take a request that a process ended with, if there is one; they take turns, so that only the guilty one
        ends a process again and again."""
        return self._claim(self._find_suspect(partitions))

    def has_suspects(self, partitions: Iterable[int]) -> bool:
        """Whether `claim_suspect` has something to give."""
        return self._find_suspect(partitions) is not None

    def claim_due(self, partitions: Iterable[int], *, now_ms: int, lanes: int | None = None) -> Work | int | None:
        """Take the next due request of these partitions; else tell when the next becomes due, if any waits.

        :param lanes: how many of the topics to take from, the more urgent first; None = all.
        """
        owned = _list(partitions)
        due_ms = []
        for lane in range(len(self._lanes) if lanes is None else lanes):
            row = self._database.execute(_FIRST_IN_LINE, (owned, lane)).fetchone()
            if row is not None and row[-1] <= now_ms:
                return self._claim(row)
            if row is not None:
                due_ms.append(row[-1])
        return min(due_ms, default=None)

    def put_back(self, request_id: UUID, *, failures: int, not_before_ms: int) -> None:
        """A running request waits again: it did not end, but neither did the process."""
        self._database.execute(
            "UPDATE work SET state = 'waiting', failures = ?, crashes = 0, not_before_ms = ?"
            " WHERE request_id = ? AND state = 'running'",
            (failures, not_before_ms, request_id.bytes),
        )

    def is_done(self, request_id: UUID) -> bool:
        """Whether the request has its final outcome."""
        row = self._database.execute("SELECT state FROM work WHERE request_id = ?", (request_id.bytes,)).fetchone()
        return row is not None and row[0] == "done"

    def _find_suspect(self, partitions: Iterable[int]) -> tuple[Any, ...] | None:
        # Only a start finds new ones.
        if not self._had_suspects:
            return None
        row: tuple[Any, ...] | None = self._database.execute(_SUSPECT, (_list(partitions),)).fetchone()
        return row

    def _claim(self, row: tuple[Any, ...] | None) -> Work | None:
        if row is None:
            return None
        self._database.execute("UPDATE work SET state = 'running' WHERE request_id = ?", (row[0],))
        return Work(
            request_id=UUID(bytes=row[0]),
            record=_unpack(row[1], self._lanes[row[5]]),
            attempts=row[2],
            failures=row[3],
            crashes=row[4],
            lane=row[5],
        )

    def _lane_of(self, topic: str) -> int:
        return self._lanes.index(topic)


def _lock(path: Path) -> IO[bytes]:
    try:
        return take_lock(path)
    except LockTaken as taken:
        raise StageFileUnusable(
            f"{path} is held by {taken.holder}. Stop it first, or give this one a --data-dir of its own."
        ) from None


def _list(partitions: Iterable[int]) -> str:
    return orjson.dumps(list(partitions)).decode()


def _pack(record: Record) -> bytes:
    head = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": record.key.hex() if record.key is not None else None,
        "headers": [[name, value.hex()] for name, value in record.headers],
    }
    return orjson.dumps(head) + b"\n" + record.value


def _unpack(packed: bytes, topic: str) -> Record:
    head, _, value = packed.partition(b"\n")
    fields = orjson.loads(head)
    return Record(
        topic=topic,
        partition=fields["partition"],
        offset=fields["offset"],
        timestamp_ms=fields["timestamp_ms"],
        key=bytes.fromhex(fields["key"]) if fields["key"] is not None else None,
        value=value,
        headers=tuple((name, bytes.fromhex(text)) for name, text in fields["headers"]),
    )
