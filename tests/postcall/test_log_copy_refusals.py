"""When a log is not copied: the sentence that says why, and a target on which nothing was written."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import RecordsToDelete

from postcall.errors import LogUnavailable, PostcallError, TopicsRefused
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.log_copy.errors import CopyBroken, CopyRefused, RecordsMissing, TargetNotEmpty
from postcall.log_copy.partitions import CopyProgress
from postcall.log_copy.run import copy_log
from postcall.topic_settings import TopicSettings
from tests.logs.embedded import embedded_log
from tests.postcall.log_contents import Written, commit, fill, make_topic, read_log

WEBHOOKS = "postcall.webhooks"
FIRST, SECOND = TopicPartition(WEBHOOKS, 0), TopicPartition(WEBHOOKS, 1)

#: What only Apache Kafka can do to a copy.
ON_KAFKA = pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)


@pytest.fixture
def other_log(tmp_path: Path) -> Iterator[str]:
    """An embedded log beside `log_address`."""
    with embedded_log(tmp_path / "other") as address:
        yield address


async def refused(source: str, target: str, **wanted: int) -> PostcallError:
    """The refusal of a copy that left the target as it was."""
    before = await read_log(target)
    with pytest.raises(PostcallError) as refusal:
        await copy_log(
            LogConnection(source), LogConnection(target), wanted=TopicSettings(**wanted), progress=CopyProgress()
        )
    assert await read_log(target) == before
    return refusal.value


DIFFERENT = {
    "key": Written(key=b"s2"),
    "no key": Written(key=None),
    "value": Written(value=b"[]"),
    "no value": Written(value=None),
    "headers": Written(headers=(("source", b"layercode"),)),
    "timestamp": Written(timestamp=1_700_000_000_001),
}


@pytest.mark.parametrize("record", DIFFERENT.values(), ids=DIFFERENT)
async def test_a_target_with_another_record(other_log: str, log_address: str, record: Written) -> None:
    await make_topic(other_log, WEBHOOKS)
    await fill(other_log, SECOND, [Written()] * 5)
    await make_topic(log_address, WEBHOOKS)
    await fill(log_address, SECOND, [Written(), Written(), record])
    refusal = await refused(other_log, log_address)
    assert isinstance(refusal, TargetNotEmpty)
    assert (refusal.topic, refusal.partition, refusal.offset) == (WEBHOOKS, 1, 2)
    assert "postcall.webhooks/1" in str(refusal)
    assert "offset 2 differs" in str(refusal)


@pytest.mark.both_logs
async def test_a_target_with_more_records(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS)
    await fill(other_log, FIRST, [Written()] * 2)
    await make_topic(log_address, WEBHOOKS)
    await fill(log_address, FIRST, [Written()] * 3)
    refusal = await refused(other_log, log_address)
    assert isinstance(refusal, TargetNotEmpty)
    assert refusal.offset == 2
    assert "holds 3 records, the source 2" in str(refusal)


async def test_a_target_with_a_topic_that_the_source_lacks(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS)
    await make_topic(log_address, "postcall.events-g2")
    await fill(log_address, TopicPartition("postcall.events-g2", 1), [Written()])
    assert "postcall.events-g2/1" in str(await refused(other_log, log_address))


async def test_a_target_with_another_number_of_partitions(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS, partitions=3)
    await make_topic(log_address, WEBHOOKS, partitions=2)
    assert "has 2 partitions" in str(await refused(other_log, log_address))


@pytest.mark.both_logs
async def test_a_target_that_drops_old_records(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS)
    await make_topic(log_address, WEBHOOKS, configs={"retention.ms": "1000"})
    refusal = await refused(other_log, log_address)
    assert isinstance(refusal, CopyRefused)
    assert "retention.ms=1000" in str(refusal)


@ON_KAFKA
async def test_a_source_whose_beginning_is_gone(other_log: str, log_address: str) -> None:
    await make_topic(log_address, WEBHOOKS)
    await fill(log_address, SECOND, [Written()] * 3)
    async with open_admin(LogConnection(log_address)) as admin:
        await admin.delete_records({SECOND: RecordsToDelete(before_offset=2)})
    refusal = await refused(log_address, other_log)
    assert isinstance(refusal, RecordsMissing)
    assert "postcall.webhooks/1" in str(refusal)
    assert "retention removed 2 records" in str(refusal)


async def test_the_log_itself(log_address: str) -> None:
    await make_topic(log_address, WEBHOOKS)
    assert "is the log that is to be copied" in str(await refused(log_address, log_address))


async def test_a_source_without_topics_of_ours(other_log: str, log_address: str) -> None:
    await make_topic(other_log, "orders")
    assert "no topic whose name begins with postcall." in str(await refused(other_log, log_address))


@pytest.mark.both_logs
async def test_more_replicas_than_brokers(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS)
    refusal = await refused(other_log, log_address, replication_factor=3)
    assert isinstance(refusal, TopicsRefused)
    assert "POSTCALL_REPLICATION_FACTOR" in str(refusal)


@pytest.mark.both_logs
async def test_a_target_on_which_the_pipeline_runs(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS)
    await fill(other_log, FIRST, [Written()])
    await commit(other_log, "postcall.normalize", {FIRST: (1, "")})
    await make_topic(log_address, WEBHOOKS)
    async with AIOKafkaConsumer(
        WEBHOOKS, bootstrap_servers=log_address, group_id="postcall.normalize", enable_auto_commit=False
    ) as consumer:
        await consumer.getmany(timeout_ms=100)
        refusal = await refused(other_log, log_address)
    assert re.search(r"postcall\.normalize has members .* Stop it first", str(refusal))


@ON_KAFKA
async def test_a_target_that_takes_no_large_records(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS)
    await fill(other_log, SECOND, [Written(value=bytes(2_000_000))])
    await make_topic(log_address, WEBHOOKS, configs={"max.message.bytes": "1000000"})
    refusal = await refused(other_log, log_address)
    assert isinstance(refusal, CopyBroken)
    assert "postcall.webhooks/1" in str(refusal)
    assert "max.message.bytes" in str(refusal)


@ON_KAFKA
async def test_a_target_that_takes_no_records_from_the_future(other_log: str, log_address: str) -> None:
    await make_topic(other_log, WEBHOOKS)
    await fill(other_log, SECOND, [Written(timestamp=4_000_000_000_000)])
    refusal = await refused(other_log, log_address)
    assert isinstance(refusal, CopyBroken)
    assert "message.timestamp.after.max.ms" in str(refusal)


async def test_a_log_that_does_not_answer(log_address: str) -> None:
    await make_topic(log_address, WEBHOOKS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        for source, target in ((log_address, nowhere), (nowhere, log_address)):
            with pytest.raises(LogUnavailable, match=nowhere):
                await copy_log(
                    LogConnection(source), LogConnection(target), wanted=TopicSettings(), progress=CopyProgress()
                )
