"""The tables of docs/warehouse.md, made from the warehouse and from the words in its SQL files.

`python -m projections.warehouse_page docs/warehouse.md` writes what stands between the page's two marks again; what is
around them is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from projections.documentation import TableWords, describe_tables
from projections.reading import WarehouseReader
from projections.warehouse import Warehouse

_BEGIN: Final = "<!-- Made of the words in projections/sql/: python -m projections.warehouse_page docs/warehouse.md -->"
_END: Final = "<!-- The end of what is made. -->"
#: What people ask first comes first.
_ORDER: Final = (
    "calls",
    "conversations",
    "conversation_sessions",
    "transcripts",
    "sessions",
    "recordings",
    "current_insights",
    "insight_summary",
    "daily_metrics",
    "agent_metrics",
    "costs",
    "insights",
    "dead_letters",
    "webhooks",
    "checkpoints",
)
_SHORT_TYPES: Final = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}

Schema = Mapping[str, Sequence[tuple[str, str]]]


def read_schema(warehouse: WarehouseReader) -> Schema:
    """Every public table with its columns and their types, in the order of the page."""
    schema: dict[str, list[tuple[str, str]]] = {name: [] for name in _ORDER}
    with warehouse.snapshot() as reader:
        rows = reader.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE schema_name = 'main' AND NOT internal ORDER BY table_name, column_index"
        ).fetchall()
    for table, column, kind in rows:
        schema.setdefault(table, []).append((column, _SHORT_TYPES.get(kind, kind)))
    return schema


def renew_page(page: str, schema: Schema) -> str:
    """The page with its tables as they are now."""
    head, _, rest = page.partition(_BEGIN)
    _, _, foot = rest.partition(_END)
    words = describe_tables()
    tables = "\n".join(_write_table(words[name], columns) for name, columns in schema.items())
    return f"{head}{_BEGIN}\n\n{tables}\n{_END}{foot}"


def _write_table(words: TableWords, columns: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"| {column} | {kind} | {words.columns[column]} |\n" for column, kind in columns)
    meaning = words.meaning[0].upper() + words.meaning[1:]
    return f"## {words.name}\n\n{meaning}\n\n| column | type | meaning |\n|---|---|---|\n{rows}"


def _renew_file(path: Path) -> None:
    warehouse = Warehouse(":memory:")
    try:
        path.write_text(renew_page(path.read_text("utf-8"), read_schema(warehouse)), "utf-8")
    finally:
        warehouse.close()


if __name__ == "__main__":
    _renew_file(Path(sys.argv[1]))
