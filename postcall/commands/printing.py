"""How commands print what they found: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_WIDTH_WITHOUT_TERMINAL = 160


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        # The last column is prose and wraps; a name cut short could not be copied.
        table.add_column(column, no_wrap=place < len(columns) - 1, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    console.print(table)


def print_json(value: object) -> None:
    """A value on stdout."""
    print(json.dumps(value, indent=2))  # noqa: T201 - stdout is for data
