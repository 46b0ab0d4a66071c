"""Opening the warehouse of a data directory, whatever another release left there."""

from __future__ import annotations

from pathlib import Path

import duckdb

from projections.files import serving_path
from projections.opening import open_serving


def test_a_warehouse_of_another_release_is_begun_anew_whatever_its_tables_are(tmp_path: Path) -> None:
    open_serving(tmp_path, reporting_timezone="UTC").close()
    first = serving_path(tmp_path)
    with duckdb.connect(first) as other_release:
        other_release.execute("DROP TABLE base.checkpoints CASCADE")
        other_release.execute("CREATE TABLE base.checkpoints (of_another_shape INTEGER)")
        other_release.execute("UPDATE base.layout SET number = 1")
    warehouse = open_serving(tmp_path, reporting_timezone="UTC")
    with warehouse.snapshot() as reader:
        assert reader.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)
    assert warehouse.is_current
    warehouse.close()
    assert serving_path(tmp_path) != first
    assert not first.exists()
