"""The work index: what a slow stage has to do, and what is done already.

A cache of the log in SQLite: each transaction moves a position in the log together with what was read there, so after
any crash the rest is read again, and a lost file is made again from offset zero. It therefore needs no fsync of its
own (`synchronous=NORMAL`): what a power cut takes back, it takes back with its position. One process, one thread;
all calls are short. What waits in here for months is the request's id and state; its body is dropped once it is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

import orjson

from postcall.file_locks import LockTaken, take_lock
from postcall.records import Record
from streams.errors import StageFileUnusable
from streams.kept_positions import POSITIONS_SCHEMA, KeptPositions, in_transaction, open_stage_file

_SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE work (
    request_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done')),
    attempts INTEGER NOT NULL DEFAULT 0,      -- outcomes so far
    failures INTEGER NOT NULL DEFAULT 0,      -- of our own, since the last outcome
    not_before_ms INTEGER NOT NULL DEFAULT 0,
    partition INTEGER,
    kafka_offset INTEGER,
    record BLOB                               -- the request; NULL before it was read and after it was done
);
CREATE INDEX work_due ON work (not_before_ms, kafka_offset) WHERE state = 'waiting' AND record IS NOT NULL;
CREATE INDEX work_place ON work (partition, kafka_offset);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A request that was claimed: the record it came in, and how often it was tried."""

    request_id: UUID
    record: Record
    attempts: int
    failures: int


class WorkIndex:
    """The index of one stage.

    :raises StageFileUnusable: the file is no index, or another release's, or another process has it.
    """

    def __init__(self, path: Path, *, requests_topic: str) -> None:
        self._requests_topic = requests_topic
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path.with_suffix(".lock"))
        try:
            self._database = open_stage_file(path, schema=POSITIONS_SCHEMA + _SCHEMA, version=_SCHEMA_VERSION)
        except StageFileUnusable:
            self._lock.close()
            raise
        self.positions = KeptPositions(self._database)
        # What was running when the process before ended is work again.
        self._database.execute("UPDATE work SET state = 'waiting' WHERE state = 'running'")

    def close(self) -> None:
        """Close the file, and let another process have it."""
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

    # What the log says

    def file(self, request_id: UUID, record: Record) -> None:
        """File a request; one that is known keeps its state."""
        self._database.execute(
            "INSERT INTO work (request_id, state, partition, kafka_offset, record) VALUES (?, 'waiting', ?, ?, ?)"
            " ON CONFLICT DO UPDATE"
            " SET partition = excluded.partition, kafka_offset = excluded.kafka_offset, record = excluded.record"
            " WHERE record IS NULL AND state = 'waiting'",
            (str(request_id), record.partition, record.offset, _pack(record)),
        )

    def finish(self, request_id: UUID) -> None:
        """Note that a request has its final outcome, be the request itself known yet or not."""
        self._database.execute(
            "INSERT INTO work (request_id, state) VALUES (?, 'done') ON CONFLICT DO UPDATE"
            " SET state = 'done', record = NULL",
            (str(request_id),),
        )

    def defer(self, request_id: UUID, *, attempt: int, not_before_ms: int) -> None:
        """Note that an attempt ended in waiting; an older one than the newest known changes nothing."""
        self._database.execute(
            "INSERT INTO work (request_id, state, attempts, not_before_ms) VALUES (?, 'waiting', ?, ?)"
            " ON CONFLICT DO UPDATE"
            " SET state = 'waiting', attempts = excluded.attempts, failures = 0, not_before_ms = excluded.not_before_ms"
            " WHERE state != 'done' AND excluded.attempts > attempts",
            (str(request_id), attempt, not_before_ms),
        )

    def finish_at(self, partition: int, offset: int) -> None:
        """Note that the request that lies there was set aside."""
        self._database.execute(
            "UPDATE work SET state = 'done', record = NULL WHERE partition = ? AND kafka_offset = ?",
            (partition, offset),
        )

    # What this process does

    def claim_due(self, partitions: Iterable[int], *, now_ms: int) -> Work | None:
        """Take the next due request of these partitions and mark it as running; None if nothing is due."""
        row = self._database.execute(
            "UPDATE work SET state = 'running' WHERE request_id = ("  # noqa: S608 - only question marks are put in
            "  SELECT request_id FROM work WHERE state = 'waiting' AND record IS NOT NULL AND not_before_ms <= ?"
            f" AND partition IN ({_marks(owned := list(partitions))}) ORDER BY not_before_ms, kafka_offset LIMIT 1"
            ") RETURNING request_id, record, attempts, failures",
            (now_ms, *owned),
        ).fetchone()
        if row is None:
            return None
        record = _unpack(row[1], self._requests_topic)
        return Work(request_id=UUID(row[0]), record=record, attempts=row[2], failures=row[3])

    def earliest_due_ms(self, partitions: Iterable[int]) -> int | None:
        """When the next request of these partitions becomes due; None if none waits."""
        row = self._database.execute(
            "SELECT not_before_ms FROM work WHERE state = 'waiting' AND record IS NOT NULL"  # noqa: S608 - as above
            f" AND partition IN ({_marks(owned := list(partitions))}) ORDER BY not_before_ms LIMIT 1",
            owned,
        ).fetchone()
        return int(row[0]) if row else None

    def put_back(self, request_id: UUID, *, failures: int, not_before_ms: int) -> None:
        """A running request waits again, after a failure of ours."""
        self._database.execute(
            "UPDATE work SET state = 'waiting', failures = ?, not_before_ms = ?"
            " WHERE request_id = ? AND state = 'running'",
            (failures, not_before_ms, str(request_id)),
        )

    def is_done(self, request_id: UUID) -> bool:
        """Whether the request has its final outcome."""
        row = self._database.execute("SELECT state FROM work WHERE request_id = ?", (str(request_id),)).fetchone()
        return row is not None and row[0] == "done"


def _lock(path: Path) -> IO[bytes]:
    try:
        return take_lock(path)
    except LockTaken as taken:
        raise StageFileUnusable(
            f"{path} is held by {taken.holder}. Stop it first, or give this one a --data-dir of its own."
        ) from None


def _marks(values: list[int]) -> str:
    return ", ".join("?" * len(values))


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
