"""The projector reads on only in the log that its warehouse was made from, or that was accepted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from postcall.kafka import append, open_admin, open_consumer, open_producer
from postcall.known_log.acceptance import Acceptance, read_held, write_acceptance
from postcall.known_log.comparison import Finding
from postcall.known_log.hold import Hold
from postcall.log_connection import LogConnection
from postcall.topics import ALL_TOPICS, WEBHOOKS
from projections.files import serving_path
from projections.opening import open_serving
from projections.projector import Projector
from projections.rebuild import rebuild_warehouse
from tests.logs.embedded import embedded_log
from tests.projections.calls import make_records
from tests.projections.conftest import fill_log
from tests.waiting import eventually

KAFKA_ONLY = pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)


@contextlib.asynccontextmanager
async def projecting(log: str, data_dir: Path, *, watch_interval_s: float = 60.0) -> AsyncIterator[Projector]:
    """A projector that may be held, until the block ends."""
    stopping = asyncio.Event()
    projector = Projector(
        LogConnection(log),
        partial(open_serving, data_dir, reporting_timezone="UTC"),
        on_reading=lambda: None,
        hold=Hold("projections", data_dir=data_dir, on_held=lambda _: None),
        watch_interval_s=watch_interval_s,
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


def count_webhooks(projector: Projector) -> int:
    assert projector.warehouse is not None
    with projector.warehouse.snapshot() as reader:
        (row,) = reader.execute("SELECT count(*) FROM webhooks").fetchall()
    return int(row[0])


async def until_webhooks(projector: Projector, count: int) -> None:
    await eventually(lambda: count_webhooks(projector) == count)


async def until_held(projector: Projector, data_dir: Path) -> list[Finding]:
    async def is_held() -> bool:
        return (await projector.read_status()).state == "held"

    await eventually(is_held)
    return [finding for held in read_held(data_dir) for finding in held.findings]


def accept(data_dir: Path) -> None:
    write_acceptance(data_dir, Acceptance(accepted_at=datetime.now(UTC), readers=tuple(read_held(data_dir))))


async def project(log: str, data_dir: Path, count: int) -> None:
    async with projecting(log, data_dir) as projector:
        await until_webhooks(projector, count)


async def append_calls(log: str, numbers: range) -> None:
    async with open_producer(LogConnection(log)) as producer:
        await append(producer, make_records(numbers))


async def delete_all_webhooks(log: str, *, partitions: int = 2) -> int:
    """Let retention take every webhook; returns how many there were."""
    places = [TopicPartition(WEBHOOKS.name, partition) for partition in range(partitions)]
    async with open_consumer(LogConnection(log)) as consumer:
        ends = await consumer.end_offsets(places)
    async with open_admin(LogConnection(log)) as admin:
        await admin.delete_records({place: RecordsToDelete(before_offset=ends[place]) for place in places})
    return sum(ends.values())


async def test_what_was_read_is_proven_while_the_projector_runs_and_when_it_stops(
    log_address: str, tmp_path: Path
) -> None:
    def are_proven(projector: Projector) -> bool:
        assert projector.warehouse is not None
        return all(checkpoint.position.is_proven for checkpoint in projector.warehouse.checkpoints())

    await fill_log(log_address, range(10))
    async with projecting(log_address, tmp_path) as projector:
        await until_webhooks(projector, 10)
        assert not are_proven(projector)
    async with projecting(log_address, tmp_path, watch_interval_s=0.1) as projector:
        await until_webhooks(projector, 10)
        assert are_proven(projector)
        await append_calls(log_address, range(10, 12))
        await until_webhooks(projector, 12)
        await eventually(lambda: are_proven(projector))


@pytest.mark.both_logs
async def test_another_log_gets_a_warehouse_of_its_own_once_it_is_accepted(log_address: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    await fill_log(log_address, range(10))
    await project(log_address, data_dir, 10)
    with embedded_log(tmp_path / "other") as other:
        await fill_log(other, range(100, 103))
        async with projecting(other, data_dir) as projector:
            findings = await until_held(projector, data_dir)
            assert {finding.kind for finding in findings} == {"made_anew"}
            status = await projector.read_status()
            assert "postcall log accept" in (status.reason or "")
            assert count_webhooks(projector) == 10, "SQL goes on answering from what is there"
            accept(data_dir)
            await until_webhooks(projector, 3)
            assert read_held(data_dir) == []
    assert [path.name for path in data_dir.glob("*.other-log-1")] == ["warehouse-1.duckdb.other-log-1"]
    assert serving_path(data_dir).name == "warehouse-2.duckdb"


@pytest.mark.both_logs
async def test_a_held_projector_goes_on_with_a_warehouse_that_was_made_again(log_address: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    await fill_log(log_address, range(10))
    await project(log_address, data_dir, 10)
    with embedded_log(tmp_path / "other") as other:
        await fill_log(other, range(100, 103))
        async with projecting(other, data_dir) as projector:
            await until_held(projector, data_dir)
            async for _ in rebuild_warehouse(data_dir, LogConnection(other), reporting_timezone="UTC"):
                pass
            projector.reopen()
            await until_webhooks(projector, 3)


@KAFKA_ONLY
async def test_unread_records_that_retention_took_are_told_and_gone_on_after(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(10))
    await project(log_address, tmp_path, 10)
    await append_calls(log_address, range(10, 20))
    lost = await delete_all_webhooks(log_address) - 10
    await append_calls(log_address, range(20, 25))
    async with projecting(log_address, tmp_path) as projector:
        findings = await until_held(projector, tmp_path)
        assert {finding.kind for finding in findings} == {"records_lost"}
        assert sum(finding.count for finding in findings) == lost == 10
        accept(tmp_path)
        await until_webhooks(projector, 15)


@KAFKA_ONLY
async def test_a_rebuild_begins_where_the_log_does_and_says_what_is_gone(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(10))
    gone = await delete_all_webhooks(log_address)
    await append_calls(log_address, range(10, 13))
    log = LogConnection(log_address)
    *_, done = [each async for each in rebuild_warehouse(tmp_path, log, reporting_timezone="UTC")]
    assert done.gone_records == gone == 10
    assert done.rows["webhooks"] == 3
    assert done.records == done.total_records > 0


@KAFKA_ONLY
async def test_more_partitions_are_noticed_while_it_reads(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(10))
    async with projecting(log_address, tmp_path, watch_interval_s=0.5) as projector:
        await until_webhooks(projector, 10)
        async with open_admin(LogConnection(log_address)) as admin:
            await admin.create_partitions({topic.name: NewPartitions(total_count=5) for topic in ALL_TOPICS})
        findings = await until_held(projector, tmp_path)
        assert {(finding.kind, finding.from_offset, finding.to_offset) for finding in findings} == {
            ("more_partitions", 2, 5)
        }
        accept(tmp_path)
        await append_calls(log_address, range(10, 40))
        await until_webhooks(projector, 40)
