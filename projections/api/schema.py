"""`GET /v1/schema`: the tables that SQL may name, with what they and their columns mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections.api.answers import json_response
from projections.documentation import TableWords, describe_all
from projections.errors import QueriesBusy, WarehouseReplaced
from projections.reading import WarehouseReader

_COLUMNS = (
    "SELECT table_name, column_name, data_type FROM duckdb_columns() "
    "WHERE schema_name = 'main' AND database_name = current_database() AND NOT internal "
    "ORDER BY table_name, column_index"
)


class SchemaApi:
    """What there is to ask for.

    :param own_files: a folder of SQL files beside those that ship; it need not be there.
    """

    def __init__(self, *, find_warehouse: Callable[[], WarehouseReader | None], own_files: Path | None = None) -> None:
        self._find_warehouse = find_warehouse
        self._own_files = own_files

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [Route("/v1/schema", self.tell)]

    async def tell(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """Every table and view, with a sentence for each and for each of its columns."""
        return json_response(await asyncio.to_thread(self._describe))

    def _describe(self) -> dict[str, Any]:
        words = describe_all(self._own_files)
        tables: dict[str, dict[str, Any]] = {}
        for name, column, kind in self._read_columns():
            of_table = words.get(name)
            table = tables.setdefault(name, {"name": name, "description": _meaning(of_table), "columns": []})
            sentence = of_table.columns.get(column) if of_table is not None else None
            table["columns"].append({"name": column, "type": kind, "description": sentence})
        return {"tables": list(tables.values())}

    def _read_columns(self) -> list[tuple[str, str, str]]:
        try:
            return self._read_once()
        except WarehouseReplaced:
            # It was found before another one took its place, and closed before it was read.
            return self._read_once()

    def _read_once(self) -> list[tuple[str, str, str]]:
        warehouse = self._find_warehouse()
        if warehouse is None:
            raise QueriesBusy("The warehouse is being opened. Try again in a moment.")
        with warehouse.snapshot() as reader:
            return reader.execute(_COLUMNS).fetchall()


def _meaning(words: TableWords | None) -> str | None:
    return words.meaning if words is not None else None
