"""Settings of the projections service: where a user's files are, the limits of a query, and the copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from postcall.settings import setting


@dataclass(frozen=True, kw_only=True)
class WarehouseSettings:
    """What the warehouse is made of."""

    projections_dir: Path = setting(Path("sql"), "folder of your own .sql files, each a table or a view")


@dataclass(frozen=True, kw_only=True)
class QuerySettings:
    """What one SQL query may use before it is stopped."""

    sql_deadline_s: float = setting(30.0, "a query is stopped after this many seconds")
    sql_memory_mb: int = setting(1024, "memory of one query, in MB")
    sql_threads: int = setting(2, "threads of one query")
    sql_concurrency: int = setting(4, "queries at once; more wait their turn until the deadline")
    sql_max_rows: int = setting(100_000, "rows of one answer; what is beyond is cut off, and the answer says so")


@dataclass(frozen=True, kw_only=True)
class CopySettings:
    """The copy that notebooks, BI tools and other DuckDBs read."""

    analytics_copy_interval_s: float = setting(
        60.0, "analytics.duckdb is made again at most every so many seconds; 0 = only when asked"
    )
    attach_port: int | None = setting(
        None, "port on private_host where other DuckDBs attach the copy (0 = any free one); none = not served"
    )
    attach_memory_mb: int = setting(1024, "memory of the process that they attach to, in MB")
