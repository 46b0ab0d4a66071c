"""Trying a user's statements on nothing, in a database of its own that has their inputs and nothing else.

What they name beside their own tables is not there, so that a file which would write into tables that are not its own,
or read such that are filled at another time, is refused in the engine's own words. This guards against mistakes: files
in the folder are the operator's own.
"""

from __future__ import annotations

from typing import Final

import duckdb

from projections.batch import Batch
from projections.errors import BrokenSqlFile
from projections.input_tables import drop_left_tables, open_inputs
from projections.sql_files import SqlFile
from projections.time_limit import interrupted_after
from projections.transactions import enter_schema

_OPTIONS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 1,
    "memory_limit": "1GB",
    "autoload_known_extensions": False,
}
#: What was made, but for the schema's own and for temporary tables.
_MADE_ELSEWHERE: Final = """
SELECT 'schema ' || schema_name FROM duckdb_schemas() WHERE NOT internal AND schema_name NOT IN ($own, 'main')
UNION ALL
SELECT 'table ' || schema_name || '.' || table_name FROM duckdb_tables() WHERE NOT temporary AND schema_name != $own
UNION ALL
SELECT 'view ' || schema_name || '.' || view_name FROM duckdb_views()
WHERE NOT internal AND view_name != 'batch' AND (temporary OR schema_name != $own)
UNION ALL
SELECT 'sequence ' || schema_name || '.' || sequence_name FROM duckdb_sequences() WHERE temporary OR schema_name != $own
UNION ALL
SELECT 'type ' || schema_name || '.' || type_name FROM duckdb_types() WHERE NOT internal AND schema_name != $own
UNION ALL
SELECT 'macro ' || schema_name || '.' || function_name FROM duckdb_functions()
WHERE NOT internal AND (database_name = 'temp' OR schema_name != $own)
"""


def try_out_statements(file: SqlFile, schema: str, *, limit_s: float) -> None:
    """Make a projection's tables and run its statements once, where they can do no harm.

    :raises BrokenSqlFile: they do not work, do not end, or make something that is not in their schema.
    """
    with duckdb.connect(":memory:", config=_OPTIONS) as nothing:
        nothing.execute("SET TimeZone = 'UTC'")
        nothing.execute(f'CREATE SCHEMA "{schema}"')
        enter_schema(nothing, schema)
        with interrupted_after(limit_s, nothing):
            file.run("schema", nothing)
            # Temporary tables are gone when the warehouse is opened again.
            drop_left_tables(nothing)
            open_inputs(nothing, Batch.empty(), set(file.reads))
            file.run("apply", nothing)
        made = nothing.execute(_MADE_ELSEWHERE, {"own": schema}).fetchone()
    if made is not None:
        raise BrokenSqlFile(
            path=file.path,
            line=file.sections["schema"].line,
            reason=f"It makes the {made[0]}. Names are without a schema, and what is temporary is a table.",
        )
