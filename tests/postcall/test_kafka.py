"""The clients of the log and its topics, on any log."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from postcall.errors import LogUnavailable
from postcall.kafka import append, open_admin, open_consumer, open_producer, to_record
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ALL_TOPICS, MAX_RECORD_BYTES, WEBHOOKS

pytestmark = pytest.mark.both_logs

# What a record batch adds to the value of its one record is below this.
BATCH_OVERHEAD_BYTES = 200


async def make_topics(address: str, *, partitions: int = 1) -> tuple[str, ...]:
    return (await create_topics(LogConnection(address), TopicSettings(partitions=partitions))).made


async def read_all(address: str, *, count: int) -> list[Record]:
    """The first records of the one partition of `postcall.webhooks`."""
    async with open_consumer(LogConnection(address)) as consumer:
        partition = TopicPartition(WEBHOOKS.name, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [to_record(await consumer.getone()) for _ in range(count)]


async def test_topics_are_made_once(log_address: str) -> None:
    assert await make_topics(log_address) == tuple(topic.name for topic in ALL_TOPICS)
    assert await make_topics(log_address) == ()


async def test_topics_may_be_made_by_several_at_once(log_address: str) -> None:
    await asyncio.gather(*(make_topics(log_address, partitions=3) for _ in range(4)))
    async with open_admin(LogConnection(log_address)) as admin:
        described = await admin.describe_topics([topic.name for topic in ALL_TOPICS])
    assert [len(topic["partitions"]) for topic in described] == [3] * len(ALL_TOPICS)


async def test_topics_keep_everything_and_take_the_largest_record(log_address: str) -> None:
    await make_topics(log_address)
    async with open_admin(LogConnection(log_address)) as admin:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, WEBHOOKS.name)])
    configs = {name: value for name, value, *_ in response.resources[0][4]}
    assert configs["retention.ms"] == configs["retention.bytes"] == "-1"
    assert configs["max.message.bytes"] == str(MAX_RECORD_BYTES)


async def test_records_come_back_as_they_were_appended(log_address: str) -> None:
    await make_topics(log_address)
    records = [
        NewRecord(topic=WEBHOOKS.name, key=b"s1", value=b"%d" % number, headers=(("source", b"layercode"), ("n", b"")))
        for number in range(250)
    ]
    async with open_producer(LogConnection(log_address)) as producer:
        await append(producer, records)
    found = await read_all(log_address, count=250)
    assert [(one.offset, one.key, one.value, one.headers) for one in found] == [
        (offset, record.key, record.value, record.headers) for offset, record in enumerate(records)
    ]


async def test_the_largest_record_passes(log_address: str) -> None:
    await make_topics(log_address)
    value = bytes(MAX_RECORD_BYTES - BATCH_OVERHEAD_BYTES)
    async with open_producer(LogConnection(log_address)) as producer:
        await append(producer, [NewRecord(topic=WEBHOOKS.name, key=b"s1", value=value, headers=())])
    (found,) = await read_all(log_address, count=1)
    assert len(found.value) == len(value)


async def test_a_topic_that_is_not_there_is_not_made_by_an_append(log_address: str) -> None:
    async with open_producer(LogConnection(log_address), request_timeout_ms=500) as producer:
        with pytest.raises(LogUnavailable):
            await append(producer, [NewRecord(topic=WEBHOOKS.name, key=None, value=b"", headers=())])
    assert len(await make_topics(log_address)) == len(ALL_TOPICS)


async def test_records_that_fail_together_are_told_once(log_address: str) -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context)))
    await make_topics(log_address)
    # Each is small enough, and the batch that they share is not.
    records = [NewRecord(topic=WEBHOOKS.name, key=None, value=bytes(MAX_RECORD_BYTES // 2))] * 3
    async with open_producer(LogConnection(log_address), max_batch_size=2 * MAX_RECORD_BYTES) as producer:
        with pytest.raises(LogUnavailable, match="MessageSizeTooLarge"):
            await append(producer, records)
    gc.collect()
    assert reported == []
