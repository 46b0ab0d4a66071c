"""Rows as a table that fits the terminal."""

from __future__ import annotations

from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(columns: list[dict[str, str]], rows: list[dict[str, Any]], *, console: Console) -> None:
    """Print rows; on a narrow terminal, columns that do not fit as columns become lines of a record."""
    if _needs_records(columns, console):
        _print_records(columns, rows, console)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column["name"]), justify="right" if _is_number(column["type"]) else "left")
    for row in rows:
        table.add_row(*(Text(_show(row[column["name"]])) for column in columns))
    console.print(table)


def _needs_records(columns: list[dict[str, str]], console: Console) -> bool:
    return sum(max(8, len(column["name"])) + 1 for column in columns) > console.width


def _print_records(columns: list[dict[str, str]], rows: list[dict[str, Any]], console: Console) -> None:
    width = max(len(column["name"]) for column in columns)
    for number, row in enumerate(rows, 1):
        console.print(Text(f"── {number} ──", style="dim"))
        grid = Table(box=None, pad_edge=False, show_header=False)
        grid.add_column(min_width=width, no_wrap=True, style="bold")
        grid.add_column()
        for column in columns:
            grid.add_row(Text(column["name"]), Text(_show(row[column["name"]])))
        console.print(grid)


def _show(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    # Text of callers and models: nothing of it may steer the terminal.
    return "".join(character if character.isprintable() else " " for character in text)


def _is_number(kind: str) -> bool:
    return kind.startswith("DECIMAL") or kind in {"BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "SMALLINT", "UBIGINT"}
