"""ListOffsets: the ends of a partition, and the first record that is not older than a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.broker.admin import CreateTopic

pytestmark = pytest.mark.both_logs

PARTITION = TopicPartition("calls", 0)


@pytest.fixture
async def consumer(log_address: str, create_topic: CreateTopic) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of a topic with three records, whose times do not rise; the last two are in one batch."""
    topic = await create_topic()
    async with AIOKafkaProducer(bootstrap_servers=log_address, linger_ms=50) as producer:
        await producer.send_and_wait(topic, b"noon", timestamp_ms=2000)
        last = [await producer.send(topic, b"", timestamp_ms=time_ms) for time_ms in (1000, 3000)]
        for future in last:
            await future
    async with AIOKafkaConsumer(bootstrap_servers=log_address) as consumer:
        consumer.assign([PARTITION])
        yield consumer


async def test_ends_of_a_partition(consumer: AIOKafkaConsumer) -> None:
    assert await consumer.beginning_offsets([PARTITION]) == {PARTITION: 0}
    assert await consumer.end_offsets([PARTITION]) == {PARTITION: 3}


@pytest.mark.parametrize(("time_ms", "offset", "found_ms"), [(0, 0, 2000), (2000, 0, 2000), (2001, 2, 3000)])
async def test_first_record_not_older_than_a_time(
    consumer: AIOKafkaConsumer, time_ms: int, offset: int, found_ms: int
) -> None:
    found = (await consumer.offsets_for_times({PARTITION: time_ms}))[PARTITION]
    assert (found.offset, found.timestamp) == (offset, found_ms)


async def test_time_after_the_last_record_finds_none(consumer: AIOKafkaConsumer) -> None:
    assert await consumer.offsets_for_times({PARTITION: 3001}) == {PARTITION: None}
