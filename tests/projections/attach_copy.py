"""A small copy to be attached, and the serving of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from postcall.settings import Settings
from projections.attaching.address import find_address
from projections.attaching.errors import ExtensionsMissing
from projections.attaching.extensions import find_extensions
from projections.attaching.keeper import Keeper
from projections.attaching.server import serve_attach
from projections.settings import CopySettings

TOKEN = "let-me-in"
#: More rows than come in one answer of the protocol.
ROWS = 60_000
_TABLES = """
    CREATE TABLE sessions AS
    SELECT 'se_' || range AS session_id, range AS duration_ms, {run} AS run, to_timestamp(range) AS started_at,
           CASE range % 2 WHEN 0 THEN 'happy' END AS sentiment
    FROM range({rows});
    CREATE TABLE "odd ""name" AS
    SELECT {{'a': 1}}::JSON AS "select", [1, 2] AS "we""ird", {{'x': 1, 'y': 'q'}} AS pair,
           'web'::ENUM('web', 'phone') AS channel, 1.5::DECIMAL(18, 6) AS cost_usd, '\\x00'::BLOB AS bytes;
    CREATE VIEW calls AS SELECT session_id, upper(session_id) AS upper_id, run FROM sessions;
"""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A copy that is served."""

    data_dir: Path
    uri: str
    keeper: Keeper

    @property
    def copy(self) -> Path:
        return self.data_dir / "analytics.duckdb"


def skip_without_extensions() -> None:
    """Skip a module where the extensions are not installed; where `POSTCALL_TEST_REQUIRE_QUACK` is set, fail."""
    try:
        find_extensions()
    except ExtensionsMissing as reason:
        if os.environ.get("POSTCALL_TEST_REQUIRE_QUACK"):
            raise
        pytest.skip(f"No attach for tests: {reason}", allow_module_level=True)


def make_copy(copy: Path, *, run: int = 1, rows: int = ROWS, more: str = "") -> None:
    """Put a copy in place, by rename as the service does."""
    draft = copy.with_suffix(".part")
    with duckdb.connect(draft) as connection:
        connection.execute(_TABLES.format(run=run, rows=rows) + more)
    draft.replace(copy)


@contextmanager
def serve_copy(data_dir: Path) -> Iterator[Served]:
    """Serve what is in this directory."""
    settings = Settings(data_dir=data_dir, private_token=TOKEN)
    with serve_attach(settings, CopySettings(attach_port=0, attach_memory_mb=512)) as keeper:
        assert keeper is not None
        address = find_address(data_dir)
        assert address is not None
        yield Served(data_dir=data_dir, uri=address.uri, keeper=keeper)
