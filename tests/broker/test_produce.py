"""Produce: what is acknowledged can be read back as it was sent, and what is refused says why."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from broker.errors import ErrorCode
from broker.record_batches import MAX_BATCH_BYTES
from tests.broker.admin import CreateTopic
from tests.broker.reading import read_values
from tests.broker.wire import record_batch, wire_client

pytestmark = pytest.mark.both_logs


async def test_first_record_gets_offset_zero(producer: AIOKafkaProducer, create_topic: CreateTopic) -> None:
    placed = await producer.send_and_wait(await create_topic(), b"hello")
    assert (placed.partition, placed.offset) == (0, 0)


@pytest.mark.parametrize("acks", [0, 1, "all"])
async def test_record_can_be_read_whatever_the_acks(log_address: str, create_topic: CreateTopic, acks: object) -> None:
    topic = await create_topic()
    async with AIOKafkaProducer(bootstrap_servers=log_address, acks=acks) as producer:
        await producer.send_and_wait(topic, b"hello")
    assert await read_values(log_address, topic, count=1) == [b"hello"]


@pytest.mark.parametrize("is_idempotent", [False, True])
@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_records_come_back_in_order(
    log_address: str, create_topic: CreateTopic, compression: str | None, is_idempotent: bool
) -> None:
    topic = await create_topic()
    values = [f"value {number}".encode() * 9 for number in range(500)]
    async with AIOKafkaProducer(
        bootstrap_servers=log_address, compression_type=compression, enable_idempotence=is_idempotent
    ) as producer:
        for future in [await producer.send(topic, value) for value in values]:
            await future
    assert await read_values(log_address, topic, count=500) == values


async def test_key_headers_and_timestamp_are_kept(
    log_address: str, producer: AIOKafkaProducer, create_topic: CreateTopic
) -> None:
    topic = await create_topic()
    await producer.send_and_wait(topic, b"v", key=b"k", headers=[("h", b"\xff"), ("h", b"")], timestamp_ms=1234)
    async with AIOKafkaConsumer(topic, bootstrap_servers=log_address, auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()
    assert (record.key, record.value, record.timestamp) == (b"k", b"v", 1234)
    assert record.headers == (("h", b"\xff"), ("h", b""))


async def test_unknown_topic_is_refused_and_not_made(log_address: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=log_address, request_timeout_ms=500) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send_and_wait("nowhere", b"hello")
    async with wire_client(log_address) as client:
        (response,) = await client.produce("nowhere", record_batch(b"hello"))
    assert response.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


async def test_largest_record_is_kept(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    value = bytes(MAX_BATCH_BYTES - 200)
    async with AIOKafkaProducer(bootstrap_servers=log_address, max_request_size=MAX_BATCH_BYTES) as producer:
        await producer.send_and_wait(topic, value)
    assert await read_values(log_address, topic, count=1) == [value]


async def test_too_large_record_is_refused_and_the_connection_survives(
    log_address: str, create_topic: CreateTopic
) -> None:
    topic = await create_topic()
    async with AIOKafkaProducer(bootstrap_servers=log_address, max_request_size=2 * MAX_BATCH_BYTES) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, bytes(MAX_BATCH_BYTES + 1))
    async with wire_client(log_address) as client:
        (refused,) = await client.produce(topic, record_batch(bytes(MAX_BATCH_BYTES)))
        (accepted,) = await client.produce(topic, record_batch(b"small"))
    assert (refused.error_code, accepted.error_code) == (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.NONE)


async def test_damaged_batch_is_refused_and_its_neighbour_is_not(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic(partitions=2)
    damaged = bytearray(record_batch(b"hello"))
    damaged[-2] ^= 1
    async with wire_client(log_address) as client:
        refused, accepted = await client.produce(topic, bytes(damaged), record_batch(b"hello"))
    assert (refused.error_code, accepted.error_code) == (ErrorCode.CORRUPT_MESSAGE, ErrorCode.NONE)


async def test_two_batches_for_one_partition_are_refused(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        (response,) = await client.produce(topic, record_batch(b"one") + record_batch(b"two"))
    assert response.error_code == ErrorCode.INVALID_RECORD


async def test_pipelined_requests_keep_their_order(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with AIOKafkaProducer(bootstrap_servers=log_address, max_batch_size=100) as producer:
        placed = [await future for future in [await producer.send(topic, bytes(80)) for _ in range(50)]]
    assert [record.offset for record in placed] == list(range(50))
