"""A query that comes while the warehouse is being replaced."""

from __future__ import annotations

from pathlib import Path

from projections.opening import open_serving
from projections.query.runner import QueryRunner
from projections.reading import WarehouseReader
from projections.settings import QuerySettings


def test_a_query_that_found_a_warehouse_which_was_closed_since_asks_the_next_one(tmp_path: Path) -> None:
    for name in ("replaced", "serving"):
        (tmp_path / name).mkdir()
    replaced = open_serving(tmp_path / "replaced", reporting_timezone="UTC")
    serving = open_serving(tmp_path / "serving", reporting_timezone="UTC")
    found: list[WarehouseReader] = [serving, replaced]
    replaced.catalog()
    replaced.close()
    runner = QueryRunner(found.pop, settings=QuerySettings())
    try:
        with runner.run("FROM sessions") as answer:
            assert answer.row_count == 0
    finally:
        runner.close()
        serving.close()
    assert not found
