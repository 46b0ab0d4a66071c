"""Durability: what was acknowledged is there after kill -9, and a disk that refuses loses nothing that was kept."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from broker.errors import StorageFailed
from broker.log import Log
from broker.record_batches import parse_record_batch
from broker.topics import NewTopic, PartitionKey
from tests.broker.admin import create_topics
from tests.broker.log_process import LogProcess, running_log
from tests.broker.wire import record_batch
from tests.waiting import eventually

pytestmark = pytest.mark.embedded_log

PARTITIONS = 3


@pytest.mark.parametrize("is_idempotent", [False, True])
async def test_every_acknowledged_record_survives_kill_9_under_load(tmp_path: Path, is_idempotent: bool) -> None:
    acknowledged: dict[bytes, tuple[int, int]] = {}
    with running_log(tmp_path) as log:
        await create_topics(log.address, "calls", partitions=PARTITIONS)
        await produce_until_killed(log, acknowledged, is_idempotent=is_idempotent)
    with running_log(tmp_path) as log:
        stored = await read_all(log.address)
    assert len(acknowledged) >= 500
    assert {value: place for value, place in acknowledged.items() if stored.get(place) != value} == {}
    for partition in range(PARTITIONS):
        offsets = sorted(offset for index, offset in stored if index == partition)
        assert offsets == list(range(len(offsets)))


async def produce_until_killed(
    log: LogProcess, acknowledged: dict[bytes, tuple[int, int]], *, is_idempotent: bool
) -> None:
    """Produce without a pause, note what is acknowledged, and kill the log in the middle of it."""
    producer = AIOKafkaProducer(
        bootstrap_servers=log.address, enable_idempotence=is_idempotent, request_timeout_ms=1000, linger_ms=1
    )
    await producer.start()
    under_way: list[asyncio.Future[object]] = []

    async def produce() -> None:
        for number in range(1_000_000):
            value = b"record %d" % number
            future = await producer.send("calls", value)
            future.add_done_callback(lambda done, value=value: note(done, value, acknowledged))
            under_way.append(future)

    producing = asyncio.create_task(produce())
    await eventually(lambda: len(acknowledged) >= 500)
    log.kill()
    producing.cancel()
    await asyncio.gather(producing, return_exceptions=True)
    stopping = asyncio.create_task(producer.stop())
    await asyncio.wait({stopping}, timeout=3)
    stopping.cancel()
    for future in under_way:
        future.cancel()
    await asyncio.gather(stopping, *under_way, return_exceptions=True)


def note(done: asyncio.Future[object], value: bytes, acknowledged: dict[bytes, tuple[int, int]]) -> None:
    """Keep where an acknowledged record lies."""
    if not done.cancelled() and done.exception() is None:
        placed = done.result()
        acknowledged[value] = (placed.partition, placed.offset)  # type: ignore[attr-defined] # aiokafka has no types


async def read_all(address: str) -> dict[tuple[int, int], bytes]:
    """Every record of `calls`, by partition and offset."""
    partitions = [TopicPartition("calls", index) for index in range(PARTITIONS)]
    stored: dict[tuple[int, int], bytes] = {}
    async with AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while len(stored) < sum(ends.values()):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                stored |= {(record.partition, record.offset): record.value for record in records}
    return stored


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[tuple[Log, PartitionKey]]:
    """An open log and the partition of its one topic."""
    log = Log(directory / "log.sqlite3")
    try:
        if not log.topics.has("calls"):
            await log.create_topic(NewTopic(name="calls", partition_count=1, configs={}))
        yield log, log.topics.named("calls").partition(0)
    finally:
        await log.close()


async def test_full_disk_refuses_keeps_what_was_there_and_recovers(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, partition):
        await log.append(partition, parse_record_batch(record_batch(b"before")))
        connection = log._storage._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageFailed, match="full"):
            await log.append(partition, parse_record_batch(record_batch(bytes(100_000))))
        assert log.watermarks.high(partition) == 1
        connection.execute("PRAGMA max_page_count = 1000000")
        after = await log.append(partition, parse_record_batch(record_batch(b"after")))
        assert after.base_offset == 1
        assert len(await log.read(partition, 0, max_bytes=2**20)) == 2


async def test_one_failure_refuses_the_whole_group_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, partition):
        connection = log._storage._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 8}")
        batches = [parse_record_batch(record_batch(bytes(size))) for size in (10, 10, 200_000)]
        outcomes = await asyncio.gather(*(log.append(partition, batch) for batch in batches), return_exceptions=True)
        kept = [one for one in outcomes if not isinstance(one, StorageFailed)]
        assert isinstance(outcomes[2], StorageFailed)
        assert log.watermarks.high(partition) == len(kept)
    async with opened(tmp_path) as (log, partition):
        assert log.watermarks.high(partition) == len(kept)


async def test_commit_waits_for_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, _):
        pragmas = ("journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync")
        settings = [log._storage._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert settings == ["wal", 2, 1, 1]


async def test_online_backup_of_a_running_log_holds_what_was_acknowledged(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    async with opened(tmp_path) as (log, partition):
        await log.append(partition, parse_record_batch(record_batch(b"one", b"two")))
        with (
            contextlib.closing(sqlite3.connect(tmp_path / "log.sqlite3")) as source,
            contextlib.closing(sqlite3.connect(copy / "log.sqlite3")) as target,
        ):
            source.backup(target)
        cluster_id = log.cluster_id
    async with opened(copy) as (log, partition):
        assert (log.cluster_id, log.watermarks.high(partition)) == (cluster_id, 2)


async def test_log_keeps_its_identity(tmp_path: Path) -> None:
    async with opened(tmp_path) as (log, _):
        before = (log.cluster_id, log.topics.named("calls").topic_id)
    async with opened(tmp_path) as (log, _):
        assert (log.cluster_id, log.topics.named("calls").topic_id) == before


async def test_producer_does_not_hear_of_success_when_the_log_is_gone(tmp_path: Path) -> None:
    with running_log(tmp_path) as log:
        await create_topics(log.address, "calls")
        async with AIOKafkaProducer(bootstrap_servers=log.address, request_timeout_ms=500) as producer:
            await producer.send_and_wait("calls", b"one")
            log.kill()
            with pytest.raises(KafkaError):
                await producer.send_and_wait("calls", b"two")
