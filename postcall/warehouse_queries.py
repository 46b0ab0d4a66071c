"""Asking the warehouse a question, from rooms that know nothing of it.

Who has the warehouse hands in how it is asked by entry point (`postcall.warehouse`), so that no room imports another.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from postcall.settings import Configuration


def query_warehouse(sql: str, configuration: Configuration) -> list[dict[str, Any]]:
    """The rows of one statement that reads: of the running pipeline, else of the file of the data directory.

    It runs under the limits of `postcall sql`, and cannot write. Ask for many rows in pages.

    :raises PostcallError: the statement was refused or failed, there is no warehouse, nobody answers, or there are
        more rows than one answer may have.
    """
    (entry_point,) = entry_points(group="postcall.warehouse")
    rows: list[dict[str, Any]] = entry_point.load()(sql, configuration)
    return rows
