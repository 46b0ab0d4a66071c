"""In what a table of two attached warehouses (`before`, `after`) differs. Counts, and ids of sessions; no content."""

from __future__ import annotations

from typing import Any, Final

import duckdb

from postcall.generation_warehouses import TableDifference

#: What may tell the rows of a table apart; the first that does so in both warehouses is taken.
_KEYS: Final = (("session_id", "seq"), ("session_id",))
_EXAMPLES: Final = 5


def compare_table(both: duckdb.DuckDBPyConnection, table: str) -> TableDifference | None:
    """Compare a public table of both, but for the sessions in the table `left_out`; None = not both have it.

    :raises duckdb.Error: they cannot be read.
    """
    columns = _columns(both, "before", table)
    if not columns or _columns(both, "after", table) != columns:
        return None
    for side in ("before", "after"):
        kept = "WHERE session_id NOT IN (SELECT session_id FROM left_out)" if "session_id" in columns else ""
        # Names are those of a warehouse's own catalog, quoted.
        both.execute(f"CREATE OR REPLACE TEMP TABLE rows_{side} AS FROM {side}.main.{_quote(table)} {kept}")
    rows_before, rows_after = (
        _one(both, "SELECT count(*) FROM rows_before"),
        _one(both, "SELECT count(*) FROM rows_after"),
    )
    key = next((each for each in _KEYS if _is_key(both, each, columns)), ())
    counts = _compare_by_key(both, key, columns) if key else _compare_whole(both)
    return TableDifference(
        table=table,
        rows_before=rows_before,
        rows_after=rows_after,
        key=key,
        examples=_examples(both) if "session_id" in columns else (),
        **counts,
    )


def _compare_by_key(both: duckdb.DuckDBPyConnection, key: tuple[str, ...], columns: dict[str, str]) -> dict[str, Any]:
    using = ", ".join(map(_quote, key))
    values = [name for name in columns if name not in key]
    differs = " OR ".join(f"b.{_quote(name)} IS DISTINCT FROM a.{_quote(name)}" for name in values) or "FALSE"
    both.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE concerned AS
        SELECT {using}, 'changed' AS how FROM rows_before AS b JOIN rows_after AS a USING ({using}) WHERE {differs}
        UNION ALL SELECT {using}, 'only_before' FROM rows_before ANTI JOIN rows_after USING ({using})
        UNION ALL SELECT {using}, 'only_after' FROM rows_after ANTI JOIN rows_before USING ({using})
        """  # noqa: S608 - as above
    )
    hows = dict(both.execute("SELECT how, count(*) FROM concerned GROUP BY how").fetchall())
    counts = {how: hows.get(how, 0) for how in ("only_before", "only_after", "changed")}
    return counts | {"columns": _count_columns(both, using, values) if counts["changed"] else {}}


def _count_columns(both: duckdb.DuckDBPyConnection, using: str, values: list[str]) -> dict[str, int]:
    counts = ", ".join(f"count(*) FILTER (b.{_quote(name)} IS DISTINCT FROM a.{_quote(name)})" for name in values)
    row = both.execute(
        f"SELECT {counts} FROM rows_before AS b JOIN rows_after AS a USING ({using})"  # noqa: S608 - as above
    ).fetchone()
    return {name: count for name, count in zip(values, row or (), strict=True) if count}


def _compare_whole(both: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Whole rows: nothing tells which row of one side is which of the other's."""
    both.execute(
        """
        CREATE OR REPLACE TEMP TABLE concerned AS
        SELECT *, 'only_before' AS how FROM (FROM rows_before EXCEPT ALL FROM rows_after)
        UNION ALL SELECT *, 'only_after' FROM (FROM rows_after EXCEPT ALL FROM rows_before)
        """
    )
    hows = dict(both.execute("SELECT how, count(*) FROM concerned GROUP BY how").fetchall())
    return {"only_before": hows.get("only_before", 0), "only_after": hows.get("only_after", 0), "changed": 0}


def _examples(both: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    rows = both.execute(
        "SELECT DISTINCT session_id FROM concerned WHERE session_id IS NOT NULL ORDER BY session_id LIMIT ?",
        [_EXAMPLES],
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def _is_key(both: duckdb.DuckDBPyConnection, key: tuple[str, ...], columns: dict[str, str]) -> bool:
    if not set(key) <= set(columns):
        return False
    names = ", ".join(map(_quote, key))
    repeated = " UNION ALL ".join(
        f"SELECT 1 FROM rows_{side} GROUP BY {names} HAVING count(*) > 1"  # noqa: S608 - as above
        for side in ("before", "after")
    )
    return not _one(both, f"SELECT count(*) FROM ({repeated})")  # noqa: S608 - as above


def _columns(both: duckdb.DuckDBPyConnection, side: str, table: str) -> dict[str, str]:
    rows = both.execute(
        "SELECT column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = ? AND schema_name = 'main' AND table_name = ? ORDER BY column_index",
        [side, table],
    ).fetchall()
    return dict(rows)


def _one(both: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = both.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
