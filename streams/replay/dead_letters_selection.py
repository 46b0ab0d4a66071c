"""Which dead letters are open, as the warehouse says, and where the record of each lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from string import Template
from typing import Any, Final
from uuid import UUID

from postcall.dead_letters import ErrorClass
from postcall.records import Position

#: Asks the warehouse for the rows of one statement.
Ask = Callable[[str], list[dict[str, Any]]]

_PAGE_ROWS: Final = 10_000
# The condition stands in a query of its own, and on lines of its own: whatever it is, only open letters are found.
_STATEMENT: Final = Template("""
SELECT id, stage, error_class, attempts, kafka_topic, kafka_partition, kafka_offset
FROM (
    SELECT * FROM (SELECT * FROM dead_letters WHERE state = 'open') AS dead_letters WHERE (
$where
    )
)
WHERE id > $after AND ($stage IS NULL OR stage = $stage)
ORDER BY id
LIMIT $rows
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenLetter:
    """A dead letter that nothing was decided about since it last failed."""

    id: UUID
    stage: str
    error_class: ErrorClass
    attempts: int
    #: Where the record lies that was set aside.
    position: Position


def select_letters(ask: Ask, *, where: str | None = None, stage: str | None = None) -> list[OpenLetter]:
    """The open letters, in the order in which their records lie in the log.

    :param where: a condition of DuckDB's SQL over the columns of `dead_letters`.
    :raises PostcallError: the warehouse refuses the condition, or cannot be asked.
    """
    letters: list[OpenLetter] = []
    after = ""
    while True:
        rows = ask(
            _STATEMENT.substitute(where=where or "true", stage=_quote(stage), after=_quote(after), rows=_PAGE_ROWS)
        )
        letters += [_read(row) for row in rows]
        if len(rows) < _PAGE_ROWS:
            return sorted(letters, key=_place)
        after = rows[-1]["id"]


def count_letters(letters: Iterable[OpenLetter]) -> list[tuple[str, str, int]]:
    """Stage, class and how many, in a fixed order."""
    counts = Counter((letter.stage, letter.error_class) for letter in letters)
    return [(*kind, count) for kind, count in sorted(counts.items())]


def _read(row: dict[str, Any]) -> OpenLetter:
    return OpenLetter(
        id=UUID(row["id"]),
        stage=row["stage"],
        error_class=row["error_class"],
        attempts=row["attempts"],
        position=Position(topic=row["kafka_topic"], partition=row["kafka_partition"], offset=row["kafka_offset"]),
    )


def _place(letter: OpenLetter) -> tuple[str, int, int]:
    return letter.position.topic, letter.position.partition, letter.position.offset


def _quote(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"
