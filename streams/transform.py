"""Stages that derive records from records: a pure function, and the loop that makes its results durable."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from postcall.dead_letters import ErrorClass
from postcall.errors import UnreadableRecord
from postcall.generations import Generation
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from streams.appender import Appender, require_fitting
from streams.errors import RecordTooLarge
from streams.failures import describe_failure
from streams.journal import JOURNAL_SCHEMA, Journal
from streams.kept_positions import POSITIONS_SCHEMA, KeptPositions, in_transaction, open_stage_file
from streams.set_aside import set_aside
from streams.stage import Stage
from streams.vigil import Vigil

logger = logging.getLogger(__name__)

_SCHEMA_VERSION = 3

#: Derives what follows from one record; always the same from the same record.
#: It raises UnreadableRecord for one that says nothing it can use, and anything else only by a fault of our own.
Derive = Callable[[Record], Sequence[NewRecord]]


class TransformStage(Stage):
    """Appends what a pure function derives. A record that cannot be read becomes a dead letter.

    :param directory: where it keeps its positions, those of each generation in a file of their own.
    :param generation: the one whose events `derive` writes or reads.
    :raises StageFileUnusable: their file cannot be used.
    """

    def __init__(
        self, name: str, derive: Derive, *, log: LogConnection, directory: Path, generation: Generation | None = None
    ) -> None:
        self.name = name
        self.generation = generation or Generation()
        self._derive = derive
        self._appender = Appender(log)
        number = self.generation.number
        self._database = open_stage_file(
            directory / (f"{name}.sqlite3" if number == 1 else f"{name}-g{number}.sqlite3"),
            schema=POSITIONS_SCHEMA + JOURNAL_SCHEMA,
            version=_SCHEMA_VERSION,
        )
        self.positions = KeptPositions(self._database)
        self.journal = Journal(self._database)
        self.vigil = Vigil()
        self._has_missed = False

    async def close(self) -> None:
        """Close the producer and the positions."""
        await self._appender.close()
        self._database.close()

    async def take(self, records: Sequence[Record]) -> None:
        """Derive, append, and wait for the acknowledgements."""
        await self._appender.append([derived for record in records for derived in self._derive_or_refuse(record)])
        self._note_read(records)

    def gets_through(self, record: Record) -> bool:
        """Derive, and append nothing."""
        try:
            self._derive(record)
        except UnreadableRecord:
            return True
        except Exception:  # noqa: BLE001 - it is asked whether there is one
            return False
        return True

    async def set_aside(self, record: Record, *, error_class: ErrorClass, reason: str, attempts: int) -> None:
        """Append the dead letter."""
        letter = set_aside(record, stage=self.name, error_class=error_class, reason=reason, attempts=attempts)
        await self._appender.append([letter])
        self._note_read([record])

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
        except (UnreadableRecord, RecordTooLarge) as error:
            derived = [set_aside(record, stage=self.name, error_class=error.error_class, reason=str(error))]
        yield from derived
