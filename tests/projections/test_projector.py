"""The projector on a real log: rows appear, a rebuild is identical, another log is refused, bad records pass by."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postcall.kafka import append, open_producer
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from projections.definitions import PROJECTIONS, VIEWS, input_topics
from projections.errors import WarehouseHeld
from projections.files import hold_warehouse, serving_path
from projections.log_reader import look_at_log
from projections.opening import open_serving
from projections.projector import Projector
from projections.warehouse import Warehouse
from tests.projections.calls import make_call, make_records
from tests.projections.conftest import fill_log
from tests.projections.logbook import read_tables
from tests.waiting import eventually

pytestmark = pytest.mark.both_logs

EVERYTHING = (*PROJECTIONS, *VIEWS, "checkpoints")


@contextlib.asynccontextmanager
async def projecting(log_address: str, data_dir: Path) -> AsyncIterator[Projector]:
    """A projector at work, until the block ends."""
    stopping = asyncio.Event()
    projector = Projector(
        LogConnection(log_address), partial(open_serving, data_dir, reporting_timezone="UTC"), on_reading=lambda: None
    )
    await projector.open()
    running = asyncio.create_task(projector.run(stopping))
    try:
        yield projector
        stopping.set()
        await running
    finally:
        running.cancel()
        await projector.close()


def rows_of(projector: Projector, statement: str) -> list[tuple[Any, ...]]:
    assert projector.warehouse is not None
    with projector.warehouse.snapshot() as reader:
        return reader.execute(statement).fetchall()


def delete_warehouse(data_dir: Path) -> None:
    for file in data_dir.glob("warehouse*"):
        file.unlink()


async def project_all(log_address: str, data_dir: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the warehouse shows once it has read the whole log."""
    async with projecting(log_address, data_dir) as projector:

        async def is_caught_up() -> bool:
            return (await projector.read_status()).unread == 0

        await eventually(is_caught_up)
    warehouse = Warehouse(serving_path(data_dir))
    try:
        return read_tables(warehouse, EVERYTHING)
    finally:
        warehouse.close()


async def test_a_record_is_a_row_soon_after_it_is_appended(log_address: str, tmp_path: Path) -> None:
    await create_topics(LogConnection(log_address), TopicSettings(partitions=2))
    async with projecting(log_address, tmp_path) as projector, open_producer(LogConnection(log_address)) as producer:
        for number in range(3):
            await append(producer, make_records(range(number, number + 1)))
            await eventually(
                lambda number=number: (
                    rows_of(projector, "SELECT count(*) FROM calls WHERE summary IS NOT NULL") == [(number + 1,)]
                )
            )


async def test_a_deleted_warehouse_comes_back_identical(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(40))
    before = await project_all(log_address, tmp_path)
    assert len(before["sessions"]) == 40
    delete_warehouse(tmp_path)
    assert await project_all(log_address, tmp_path) == before


async def test_a_damaged_warehouse_is_set_aside_and_made_again(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(10))
    before = await project_all(log_address, tmp_path)
    path = serving_path(tmp_path)
    path.write_bytes(b"\x00" * path.stat().st_size)
    assert await project_all(log_address, tmp_path) == before
    assert (tmp_path / f"{path.name}.corrupt-1").exists()


async def test_a_warehouse_of_another_release_is_made_again(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(5))
    before = await project_all(log_address, tmp_path)
    outdated = Warehouse(serving_path(tmp_path))
    with outdated.transaction() as writer:
        writer.execute("UPDATE base.layout SET number = 1")
    outdated.close()
    assert await project_all(log_address, tmp_path) == before
    assert serving_path(tmp_path).name == "warehouse-2.duckdb"


async def test_records_that_cannot_be_read_are_counted_and_stop_nothing(log_address: str, tmp_path: Path) -> None:
    message, _ = next(make_call(1))
    good = make_records(range(1))
    broken = [
        NewRecord(topic=message.topic.name, key=b"s", value=value, headers=headers)
        for value, headers in (
            (b"{}", ()),
            (b"{", _headers("SessionEnded")),
            (b'{"session_id": "\\ud800"}', _headers("SessionStarted")),
            (b"\xff", _headers("SessionStarted")),
            (b"[1, 2]", _headers("SessionStarted")),
            (b'{"session_id": "s"}', _headers("SessionEnded")),
            (b'{"session_id": "s"}', _headers("NeverHeardOf")),
        )
    ]
    await create_topics(LogConnection(log_address), TopicSettings(partitions=2))
    async with open_producer(LogConnection(log_address)) as producer:
        await append(producer, [*broken[:3], *good, *broken[3:]])
    tables = await project_all(log_address, tmp_path)
    assert [row[0] for row in tables["sessions"]] == ["session-000000"]
    set_aside = [row[-1] for row in tables["checkpoints"] if row[0] == "sessions"]
    assert sum(set_aside) == len(broken)


async def test_a_warehouse_that_fails_is_opened_again_and_goes_on_from_its_checkpoints(
    log_address: str, tmp_path: Path
) -> None:
    await fill_log(log_address, range(5))
    async with projecting(log_address, tmp_path) as projector, open_producer(LogConnection(log_address)) as producer:
        await eventually(lambda: rows_of(projector, "SELECT count(*) FROM webhooks") == [(5,)])
        failing = projector.warehouse
        assert failing is not None
        failing.close()
        # One record, in one fetch: nothing comes after it that would show that its write failed.
        await append(producer, make_records(range(5, 6)))

        def has_all() -> bool:
            is_reopened = projector.warehouse not in (None, failing)
            return is_reopened and rows_of(projector, "SELECT count(*) FROM webhooks") == [(6,)]

        await eventually(has_all)


async def test_a_log_that_was_made_anew_is_noticed(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(10))
    await project_all(log_address, tmp_path)
    warehouse = open_serving(tmp_path, reporting_timezone="UTC")
    with warehouse.transaction() as writer:
        writer.execute("UPDATE base.checkpoints SET record_checksum = 'of another record'")
    checkpoints = warehouse.checkpoints()
    warehouse.close()
    look = await look_at_log(LogConnection(log_address), checkpoints, input_topics(1).values())
    assert {finding.kind for finding in look.findings} == {"made_anew"}
    assert "another record" in look.findings[0].reason


async def test_a_log_that_ends_before_the_checkpoint_is_noticed(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(10))
    await project_all(log_address, tmp_path)
    warehouse = open_serving(tmp_path, reporting_timezone="UTC")
    with warehouse.transaction() as writer:
        writer.execute("UPDATE base.checkpoints SET next_offset = next_offset + 1000")
    checkpoints = warehouse.checkpoints()
    warehouse.close()
    look = await look_at_log(LogConnection(log_address), checkpoints, input_topics(1).values())
    assert {finding.kind for finding in look.findings} == {"made_anew"}
    assert "ends at offset" in look.findings[0].reason


def test_a_second_projector_is_told_who_holds_the_warehouse(tmp_path: Path) -> None:
    with hold_warehouse(tmp_path), pytest.raises(WarehouseHeld, match=r"held by process \d+"), hold_warehouse(tmp_path):
        pass


def _headers(kind: str) -> tuple[tuple[str, bytes], ...]:
    return (("ce_type", kind.encode()), ("ce_time", b"2026-02-03T09:00:00+00:00"), ("ce_source", b"test"))
