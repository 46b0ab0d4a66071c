"""The copy: a whole database for any DuckDB, made beside the writer and swapped in by rename."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from projections.batch import build_batch
from projections.copying.copier import Copier, pause_after
from projections.copying.errors import CopyFailed, CopyStopped, DiskNearlyFull, WarehouseBehind
from projections.copying.placing import draft_of
from projections.copying.slices import SLICE_ROWS
from projections.documentation import describe_tables
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records
from tests.waiting import eventually

CALLS = number_records(make_records(range(12)))
MakeCopier = Callable[..., Copier]


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    """A warehouse of its own, with six calls in it."""
    warehouse = Warehouse(":memory:")
    apply_records(warehouse, CALLS[: len(CALLS) // 2])
    yield warehouse
    warehouse.close()


@pytest.fixture
def make_copier(warehouse: Warehouse, tmp_path: Path) -> MakeCopier:
    """Copiers of that warehouse, which copy only when asked unless told otherwise."""

    def make(found: Warehouse = warehouse, *, interval_s: float = 0, spare_bytes: int = 0) -> Copier:
        return Copier(lambda: found, tmp_path, interval_s=interval_s, reporting_timezone="UTC", spare_bytes=spare_bytes)

    return make


def read(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a database file, as anybody's DuckDB reads them."""
    with duckdb.connect(path, read_only=True, config={"autoload_known_extensions": False}) as database:
        database.execute("SET TimeZone = 'UTC'")
        return database.execute(statement).fetchall()


def names_in(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


def add_table(warehouse: Warehouse, name: str, kept: str, select: str) -> None:
    """Give the warehouse one more table that people see, as a user's own file would."""
    with warehouse.transaction() as writer:
        writer.execute(f"CREATE SCHEMA {name}_1")
        writer.execute(f"CREATE TABLE {name}_1.kept AS {kept}")
        add_view(writer, name, select)


def add_view(writer: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    """A view that people see."""
    writer.execute(f"CREATE VIEW {name} AS {select}")
    writer.execute(
        "INSERT INTO base.views (place, name, statement) SELECT max(place) + 1, ?, ? FROM base.views", [name, select]
    )


async def test_it_holds_what_the_warehouse_shows_under_the_same_names(
    warehouse: Warehouse, make_copier: MakeCopier
) -> None:
    copy = await make_copier().copy_now()
    with warehouse.snapshot() as reader:
        names = [name for (name,) in reader.execute("SELECT name FROM base.views").fetchall()]
        for name in names:
            assert (
                read(copy.path, f"FROM {name} ORDER BY ALL") == reader.execute(f"FROM {name} ORDER BY ALL").fetchall()
            )
            kinds = [row[:2] for row in reader.execute(f"DESCRIBE {name}").fetchall()]
            assert [row[:2] for row in read(copy.path, f"DESCRIBE {name}")] == kinds
    tables = {name for (name,) in read(copy.path, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")}
    views = {name for (name,) in read(copy.path, "SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    assert tables | views == set(names)
    assert {"sessions", "transcripts", "checkpoints"} <= tables
    assert {"calls", "conversations", "daily_metrics"} <= views


async def test_tables_views_and_columns_carry_their_words(make_copier: MakeCopier) -> None:
    copy = await make_copier().copy_now()
    calls = describe_tables()["calls"]
    assert read(copy.path, "SELECT comment FROM duckdb_views() WHERE view_name = 'calls'") == [(calls.meaning,)]
    said = dict(read(copy.path, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'calls'"))
    assert said["sentiment"] == calls.columns["sentiment"]


async def test_a_table_of_ones_own_carries_its_words_too(warehouse: Warehouse, tmp_path: Path) -> None:
    add_table(warehouse, "refunds", "SELECT 1 AS amount", "FROM refunds_1.kept")
    own_files = tmp_path / "sql"
    own_files.mkdir()
    (own_files / "refunds.sql").write_text(
        "-- refunds: one row per refund.\n--\n-- columns:\n--   amount  in euro\n", "utf-8"
    )
    (own_files / "broken.sql").write_bytes(b"\xff")
    copier = Copier(
        lambda: warehouse, tmp_path, interval_s=0, reporting_timezone="UTC", own_files=own_files, spare_bytes=0
    )
    path = (await copier.copy_now()).path
    assert read(path, "SELECT comment FROM duckdb_tables() WHERE table_name = 'refunds'") == [("one row per refund.",)]
    assert read(path, "SELECT comment FROM duckdb_columns() WHERE table_name = 'refunds'") == [("in euro",)]


async def test_only_the_owner_can_read_it_and_nothing_is_left_beside_it(
    make_copier: MakeCopier, tmp_path: Path
) -> None:
    copy = await make_copier().copy_now()
    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["analytics.duckdb"]


async def test_it_is_made_again_only_once_something_changed(warehouse: Warehouse, make_copier: MakeCopier) -> None:
    copier = make_copier()
    first = await copier.copy_now()
    is_first = first.path.stat().st_ino
    assert (await copier.copy_now()) == dataclasses.replace(first, seconds=0)
    assert first.path.stat().st_ino == is_first
    # Another service on the same directory finds it as well.
    assert (await make_copier().copy_now()).copied_at == first.copied_at
    warehouse.apply(build_batch(CALLS))
    second = await copier.copy_now()
    assert second.copied_at > first.copied_at
    assert read(second.path, "SELECT count(*) FROM sessions") == [(12,)]


async def test_a_reader_keeps_the_copy_that_it_has_open(warehouse: Warehouse, make_copier: MakeCopier) -> None:
    copier = make_copier()
    with duckdb.connect((await copier.copy_now()).path, read_only=True) as reader:
        warehouse.apply(build_batch(CALLS))
        await copier.copy_now()
        assert reader.execute("SELECT count(*) FROM sessions").fetchall() == [(6,)]
        assert reader.execute("SELECT count(*) FROM transcripts").fetchall() == [(36,)]
    assert read(copier.path, "SELECT count(*) FROM sessions") == [(12,)]


async def test_all_of_it_is_of_one_moment_while_batches_are_applied(
    warehouse: Warehouse, make_copier: MakeCopier
) -> None:
    copier = make_copier()
    records = number_records(make_records(range(30)))
    writing = asyncio.create_task(asyncio.to_thread(apply_records, warehouse, records, batch_size=30))
    while not writing.done():
        path = (await copier.copy_now()).path
        assert read(
            path,
            "SELECT count(*) FROM sessions LEFT JOIN"
            " (SELECT session_id, count(*) AS turns FROM transcripts GROUP BY ALL) USING (session_id)"
            " WHERE coalesce(turn_count, 0) != coalesce(turns, 0)",
        ) == [(0,)]
    await writing


async def test_a_warehouse_that_is_made_again_does_not_take_the_place_of_the_copy(make_copier: MakeCopier) -> None:
    before = await make_copier().copy_now()
    remade = Warehouse(":memory:")
    try:
        apply_records(remade, CALLS[:5])
        with pytest.raises(WarehouseBehind):
            await make_copier(remade).copy_now()
        assert read(before.path, "SELECT count(*) FROM sessions") == [(6,)]
        apply_records(remade, CALLS)
        assert read((await make_copier(remade).copy_now()).path, "SELECT count(*) FROM sessions") == [(12,)]
    finally:
        remade.close()


async def test_without_room_on_the_disk_the_copy_until_now_stays(warehouse: Warehouse, make_copier: MakeCopier) -> None:
    before = await make_copier().copy_now()
    warehouse.apply(build_batch(CALLS))
    with pytest.raises(DiskNearlyFull, match="MB are free"):
        await make_copier(spare_bytes=10**18).copy_now()
    assert read(before.path, "SELECT count(*) FROM sessions") == [(6,)]
    assert names_in(before.path.parent) == ["analytics.duckdb"]


async def test_what_a_killed_service_left_is_removed(make_copier: MakeCopier, tmp_path: Path) -> None:
    left_behind = tmp_path / "analytics.duckdb.part"
    left_behind.mkdir()
    for name in ("analytics.duckdb", "analytics.duckdb.wal"):
        (left_behind / name).write_bytes(b"half a database")
    async with make_copier().running():
        assert not left_behind.exists()


async def test_a_file_that_is_no_copy_is_replaced(make_copier: MakeCopier, tmp_path: Path) -> None:
    (tmp_path / "analytics.duckdb").write_bytes(b"no database")
    copy = await make_copier().copy_now()
    assert read(copy.path, "SELECT count(*) FROM sessions") == [(6,)]


async def test_a_table_whose_rows_cannot_be_read_is_left_out_and_told(
    make_copier: MakeCopier, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    add_table(
        warehouse, "ages", "FROM (VALUES ('41'), ('secret')) t(age)", "SELECT age::INTEGER AS age FROM ages_1.kept"
    )
    with warehouse.transaction() as writer:
        add_view(writer, "adults", "FROM ages WHERE age > 17")
    copy = await make_copier().copy_now()
    assert copy.left_out == ("ages", "adults")
    assert read(copy.path, "SELECT left_out FROM postcall.copy") == [(["ages", "adults"],)]
    assert read(copy.path, "SELECT count(*) FROM calls") == [(6,)]
    assert "ages is not in the copy" in caplog.text
    assert "secret" not in caplog.text


async def test_types_go_over_whole(make_copier: MakeCopier, warehouse: Warehouse) -> None:
    values = {
        "a_hugeint": "170141183460469231731687303715884105727::HUGEINT",
        "a_bit": "'0101'::BIT",
        "bits": "['0101'::BIT]",
        "a_time": "'10:11:12+02'::TIMETZ",
        "an_id": "'2fa85f64-5717-4562-b3fc-2c963f66afa6'::UUID",
        "an_enum": "'a'::ENUM('a', 'BIT')",
        "a_struct": """{'a': 1, 'j': '{"x": 1.00}'::JSON}""",
        "a_map": "MAP {'a': [1]}",
        "a_union": "union_value(number := 2)",
        "an_interval": "INTERVAL '1 month 2 days 3 hours'",
        "a_decimal": "1.23::DECIMAL(18, 9)",
        "nothing": "NULL::VARCHAR",
    }
    columns = ", ".join(f'{value} AS "{name}"' for name, value in values.items())
    add_table(warehouse, "odd", f"SELECT {columns}", "FROM odd_1.kept")
    copy = await make_copier().copy_now()
    asked = "SELECT columns(*)::VARCHAR, typeof(columns(*)) FROM odd"
    with warehouse.snapshot() as reader:
        assert read(copy.path, asked) == reader.execute(asked).fetchall()


async def test_a_table_that_is_gathered_goes_over_in_slices(make_copier: MakeCopier, warehouse: Warehouse) -> None:
    rows = 2 * SLICE_ROWS + 1
    kept = f"SELECT nullif(i, 7)::VARCHAR AS session_id FROM range({rows}) t(i)"  # noqa: S608 - a number
    add_table(warehouse, "many", kept, "SELECT session_id, count(*) AS n FROM many_1.kept GROUP BY session_id")
    copy = await make_copier().copy_now()
    assert read(copy.path, "SELECT count(*), count(DISTINCT session_id), sum(n) FROM many") == [(rows, rows - 1, rows)]


async def test_at_its_end_the_service_gives_a_copy_up(warehouse: Warehouse, make_copier: MakeCopier) -> None:
    select = "SELECT max(hash(a.i + b.i)) AS n FROM endless_1.kept AS a, endless_1.kept AS b"
    add_table(warehouse, "endless", "FROM range(200_000) t(i)", select)
    copier = make_copier()
    async with copier.running():
        asked = asyncio.create_task(copier.copy_now())
        await eventually(lambda: copier.path.with_name("analytics.duckdb.part").exists())
    with pytest.raises(CopyStopped):
        await asked
    assert not copier.path.exists()


async def test_two_processes_do_not_write_the_same_draft(make_copier: MakeCopier, tmp_path: Path) -> None:
    with draft_of(tmp_path / "analytics.duckdb"), pytest.raises(CopyFailed, match="writing"):
        await make_copier().copy_now()


async def test_by_itself_it_copies_as_soon_as_something_was_read(
    make_copier: MakeCopier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "projections.copying.copier")
    empty = Warehouse(":memory:")
    try:
        copier = make_copier(empty, interval_s=0.01)
        async with copier.running():
            await asyncio.to_thread(apply_records, empty, CALLS[:20])
            await eventually(copier.path.exists)
            assert read(copier.path, "SELECT count(*) > 0 FROM webhooks") == [(True,)], "nothing is not copied"
            await asyncio.to_thread(apply_records, empty, CALLS)
            await copier.copy_now()
    finally:
        empty.close()
    assert [record.levelname for record in copies(caplog)][:2] == ["INFO", "DEBUG"]
    assert all(vars(record)["bytes"] > 0 and vars(record)["seconds"] > 0 for record in copies(caplog))


def copies(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The log's lines that tell of a copy."""
    return [record for record in caplog.records if getattr(record, "action", None) == "copied"]


@pytest.mark.parametrize(("seconds", "pause_s"), [(0.1, 59.9), (3.0, 57.0), (10.0, 190.0)])
def test_copying_takes_a_twentieth_of_the_time_at_most(seconds: float, pause_s: float) -> None:
    assert pause_after(seconds, interval_s=60) == pytest.approx(pause_s)
