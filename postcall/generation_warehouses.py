"""Two warehouses from the same log, one for each of two generations of events, to be compared.

Who has the warehouse hands in how they are made by entry point (`postcall.generation_warehouses`), so that no room
imports another.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

from postcall.log_connection import LogConnection
from postcall.settings import Configuration


@dataclass(frozen=True, kw_only=True, slots=True)
class TableDifference:
    """In what a table of two warehouses differs, in rows; what was said is in none of it.

    :param key: the columns that tell its rows apart; none = only whole rows can be compared.
    :param columns: in how many of the changed rows each column differs.
    :param examples: some of the sessions concerned.
    """

    table: str
    rows_before: int
    rows_after: int
    only_before: int
    only_after: int
    changed: int
    key: tuple[str, ...]
    columns: dict[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether the tables have the same rows."""
        return not (self.only_before or self.only_after or self.changed)


class WarehousePair(Protocol):
    """Both warehouses, as files that nothing else reads until one of them serves."""

    def make(self) -> AsyncGenerator[tuple[int, int]]:
        """Make both from the log, from the first record that is kept; yields records read, and how many there are.

        :raises PostcallError: the log cannot be read, or the disk has no space for both.
        """

    def compare(self, without: Collection[str]) -> Sequence[TableDifference]:
        """Every table that depends on the events, but for these sessions."""

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement that reads the later warehouse."""

    def switch(self) -> str | None:
        """Let the later one serve from the next start of projections on; its file, or None where none is kept here."""

    def discard(self) -> None:
        """Delete what does not serve."""


def open_pair(configuration: Configuration, log: LogConnection, *, before: int, after: int) -> WarehousePair:
    """The warehouses of two generations, to be made.

    :raises PostcallError: the data directory cannot be used.
    """
    (entry_point,) = entry_points(group="postcall.generation_warehouses")
    pair: WarehousePair = entry_point.load()(configuration, log, before=before, after=after)
    return pair
