"""The crash journal: what a stage was given last, so that a record which ends the process is found and set aside.

Before a stage takes records they are noted here, and crossed out afterwards. What is still noted when the process
starts again is suspect: it is taken one by one, each with its own note, and what was begun too often is not begun
again. Of slow work the index keeps the same account (see `streams.work_index`).

In the stage's own file, whose lines survive the process and not a power cut, which is nobody's fault. A disk that is
full costs the account, not the work.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence

from postcall.records import Record
from streams.failures import MAX_CRASHES, describe_failure

logger = logging.getLogger(__name__)

JOURNAL_SCHEMA = """
CREATE TABLE journal (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    crashes INTEGER NOT NULL          -- processes that ended while these were worked on; 0 = they are now
);
"""


class Journal:
    """The table `journal` of a stage's open file. One thread; all calls are short."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._has_missed = False
        self._suspects = self._recover()

    def crashes(self, record: Record) -> int:
        """How many processes ended while they worked on this record, or on a batch with it."""
        return max((suspect[4] for suspect in self._suspects if _covers(suspect, record)), default=0)

    @contextlib.contextmanager
    def noting(self, records: Sequence[Record]) -> Iterator[None]:
        """What is done in the block is done with these records."""
        self._write("INSERT INTO journal VALUES (?, ?, ?, ?, 0)", _ranges(records))
        try:
            yield
        finally:
            self._write("DELETE FROM journal WHERE crashes = 0", [()])

    def clear(self, record: Record) -> None:
        """This record and those before it in its partition are done with, and no longer suspect.

        What ended too many processes stays known as that: should the process end before the record's offset is
        committed, it is read again.
        """
        if not self._suspects:
            return
        place = (record.topic, record.partition, record.offset)
        self._suspects = [
            each
            for each in self._suspects
            if each[:2] != place[:2] or each[3] > record.offset or each[4] >= MAX_CRASHES
        ]
        self._write(
            "DELETE FROM journal WHERE topic = ? AND partition = ? AND last_offset <= ? AND crashes < ?",
            [(*place, MAX_CRASHES)],
        )

    def forget(self) -> None:
        """Suspect nothing any more: it is another log."""
        self._suspects = []
        self._database.execute("DELETE FROM journal")

    def _recover(self) -> list[_Range]:
        rows: list[_Range] = self._database.execute("SELECT * FROM journal").fetchall()
        suspects = [row for row in rows if row[4]]
        for topic, partition, first, last, crashes in rows:
            if not crashes:
                before = max((each[4] for each in suspects if each[:4] == (topic, partition, first, last)), default=0)
                # A range holds many, of which one is guilty at most; only what was begun alone is counted on.
                known = max((each[4] for each in suspects if _holds(each, topic, partition, first)), default=0)
                count = max(before, known if first == last else 0) + 1
                suspects.append((topic, partition, first, last, count))
        self._write("DELETE FROM journal", [()])
        self._write("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", suspects)
        if suspects:
            logger.warning(
                "Process ended while records were worked on; they are taken one by one",
                extra={
                    "action": "suspects_found",
                    "ranges": len(suspects),
                    "crashes": max(each[4] for each in suspects),
                },
            )
        return suspects

    def _write(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        try:
            self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            if not self._has_missed:
                self._has_missed = True
                logger.warning(
                    "Crash journal cannot be kept: %s", describe_failure(error), extra={"action": "journal_missed"}
                )
        else:
            self._has_missed = False


_Range = tuple[str, int, int, int, int]


def _ranges(records: Sequence[Record]) -> list[tuple[str, int, int, int]]:
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for record in records:
        first, _ = found.get((record.topic, record.partition), (record.offset, 0))
        found[record.topic, record.partition] = (first, record.offset)
    return [(*place, first, last) for place, (first, last) in found.items()]


def _covers(suspect: _Range, record: Record) -> bool:
    return _holds(suspect, record.topic, record.partition, record.offset)


def _holds(suspect: _Range, topic: str, partition: int, offset: int) -> bool:
    return suspect[:2] == (topic, partition) and suspect[2] <= offset <= suspect[3]
