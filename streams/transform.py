"""Stages that derive records from records: a pure function, and the loop that makes its results durable."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from postcall.dead_letters import ErrorClass, dead_letter
from postcall.errors import PostcallError, UnreadableRecord
from postcall.log import encode
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from streams.appender import Appender, require_fitting
from streams.errors import RecordTooLarge
from streams.failures import describe_failure
from streams.kept_positions import KeptPositions, in_transaction, open_positions
from streams.stage import Stage

logger = logging.getLogger(__name__)

_LATEST_MS = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)

#: Derives what follows from one record; always the same from the same record.
#: It raises UnreadableRecord for one that says nothing it can use, and anything else only by a fault of our own.
Derive = Callable[[Record], Sequence[NewRecord]]


class TransformStage(Stage):
    """Appends what a pure function derives. A record that cannot be read becomes a dead letter.

    :param directory: where it keeps its positions.
    :raises StageFileUnusable: their file cannot be used.
    """

    def __init__(self, name: str, derive: Derive, *, log: LogConnection, directory: Path) -> None:
        self.name = name
        self._derive = derive
        self._appender = Appender(log)
        self._database = open_positions(directory / f"{name}.sqlite3")
        self.positions = KeptPositions(self._database)
        self._has_missed = False

    async def close(self) -> None:
        """Close the producer and the positions."""
        await self._appender.close()
        self._database.close()

    async def take(self, records: Sequence[Record]) -> None:
        """Derive, append, and wait for the acknowledgements."""
        await self._appender.append([derived for record in records for derived in self._derive_or_refuse(record)])
        self._note_read(records)

    def _note_read(self, records: Sequence[Record]) -> None:
        try:
            with in_transaction(self._database):
                self.positions.advance(records)
        except sqlite3.Error as error:
            # Raised, it would have the same records appended again and again while the disk is full. They are a
            # witness, and may lag.
            if not self._has_missed:
                self._has_missed = True
                logger.warning(
                    "Positions cannot be kept: %s", describe_failure(error), extra={"action": "positions_missed"}
                )
        else:
            self._has_missed = False

    def _derive_or_refuse(self, record: Record) -> Iterator[NewRecord]:
        try:
            derived = self._derive(record)
            for new_record in derived:
                require_fitting(new_record)
        except UnreadableRecord as error:
            derived = [refuse(record, stage=self.name, error_class="unreadable", error=error)]
        except RecordTooLarge as error:
            derived = [refuse(record, stage=self.name, error_class="schema", error=error)]
        yield from derived


def refuse(record: Record, *, stage: str, error_class: ErrorClass, error: PostcallError) -> NewRecord:
    """Set a record aside: the dead letter to append, at the time at which the record itself came."""
    logger.warning("Record set aside: %s", error, extra={"action": "dead_lettered", "position": str(record.position)})
    letter = dead_letter(record, stage=stage, error_class=error_class, reason=str(error))
    return encode(letter, source=stage, time=_appended_at(record), causation=record.position)


def _appended_at(record: Record) -> datetime:
    # A producer may write any number there; one that is no date must not stop the stage.
    milliseconds = min(max(record.timestamp_ms, 0), _LATEST_MS)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
