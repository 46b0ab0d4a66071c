"""The read positions of a stage, in its SQLite file.

They are a witness of what the log was (see `postcall.known_log.comparison`). What a power cut takes back is harmless,
so they need no fsync of their own: in WAL mode with `synchronous=NORMAL` a file never runs ahead of what was done.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from postcall.checksums import record_checksum
from postcall.known_log.positions import ReadPosition
from postcall.records import Record
from streams.errors import StageFileUnusable

logger = logging.getLogger(__name__)

POSITIONS_SCHEMA = """
CREATE TABLE positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    record_checksum TEXT,             -- of the record before next_offset, where it is known
    cluster_id TEXT,
    topic_id TEXT,
    partition_count INTEGER,
    is_proven INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
"""
_COLUMNS = "topic, partition, next_offset, record_checksum, cluster_id, topic_id, partition_count, is_proven"


class KeptPositions:
    """The table `positions` of an open file. One thread; all calls are short."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def all(self) -> list[ReadPosition]:
        """Every position that is known, also of partitions that somebody else reads now."""
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM positions ORDER BY topic, partition")  # noqa: S608 - constant
        return [_read(row) for row in rows]

    def find(self, topic: str, partition: int) -> ReadPosition | None:
        """Where a partition is to be read on, if it is known."""
        row = self._database.execute(
            f"SELECT {_COLUMNS} FROM positions WHERE topic = ? AND partition = ?",  # noqa: S608 - as above
            (topic, partition),
        ).fetchone()
        return _read(row) if row else None

    def advance(self, records: Iterable[Record]) -> None:
        """Note that these were read, in the order of each partition; going back is not noted."""
        last = {(record.topic, record.partition): record for record in records}
        self._database.executemany(
            "INSERT INTO positions (topic, partition, next_offset, record_checksum, is_proven)"
            " VALUES (?, ?, ?, ?, FALSE)"
            " ON CONFLICT DO UPDATE"
            " SET next_offset = excluded.next_offset, record_checksum = excluded.record_checksum, is_proven = FALSE"
            " WHERE excluded.next_offset > next_offset",
            [(*place, record.next_offset, record_checksum(record)) for place, record in last.items()],
        )

    def keep(self, positions: Iterable[ReadPosition]) -> None:
        """Let these be the positions of their partitions, whatever was known."""
        self._database.executemany(
            f"INSERT OR REPLACE INTO positions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - as above
            [
                (
                    each.topic,
                    each.partition,
                    each.next_offset,
                    each.record_checksum,
                    each.cluster_id,
                    each.topic_id,
                    each.partition_count,
                    each.is_proven,
                )
                for each in positions
            ],
        )

    def prove(self, positions: Iterable[ReadPosition]) -> None:
        """Note that what was read up to these positions came from the known log; what was read since is not proven."""
        self._database.executemany(
            "UPDATE positions SET is_proven = TRUE WHERE topic = ? AND partition = ? AND next_offset = ?",
            [(each.topic, each.partition, each.next_offset) for each in positions if not each.is_proven],
        )

    def forget(self) -> None:
        """Know nothing any more."""
        self._database.execute("DELETE FROM positions")


def open_stage_file(path: Path, *, schema: str, version: int) -> sqlite3.Connection:
    """Open a stage's file. One that is not there, is damaged or is another release's is made with this schema.

    :raises StageFileUnusable: the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            return _open(path, schema, version)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            # What is in it is a cache of the log.
            logger.warning(
                "Stage's file is made again from the log: %s", error, extra={"action": "file_remade", "file": str(path)}
            )
            for file in (path, *path.parent.glob(f"{path.name}-*")):
                file.unlink()
            return _open(path, schema, version)
    except sqlite3.OperationalError as error:
        raise StageFileUnusable(f"{path} cannot be used: {error}.") from error


@contextmanager
def in_transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All changes within, or none."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _open(path: Path, schema: str, expected_version: int) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            database.executescript(f"BEGIN; {schema} PRAGMA user_version = {expected_version}; COMMIT;")
        elif version != expected_version:
            raise sqlite3.DatabaseError(f"its schema version is {version}, not {expected_version}")
    except BaseException:
        database.close()
        raise
    return database


def _read(row: tuple[str, int, int, str | None, str | None, str | None, int | None, int]) -> ReadPosition:
    topic, partition, next_offset, record_checksum, cluster_id, topic_id, partition_count, is_proven = row
    return ReadPosition(
        topic=topic,
        partition=partition,
        next_offset=next_offset,
        record_checksum=record_checksum,
        cluster_id=cluster_id,
        topic_id=topic_id,
        partition_count=partition_count,
        is_proven=bool(is_proven),
    )
