"""Fetch: readers start anywhere, wait for what is not there yet, and are woken by the next commit."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from kafka.protocol.consumer import FetchRequest, FetchResponse

from broker.errors import ErrorCode
from tests.broker.admin import CreateTopic
from tests.broker.wire import WireClient, record_batch, wire_client

pytestmark = pytest.mark.both_logs


def fetch_request(
    topic: str, *offsets: int, max_wait_ms: int = 0, min_bytes: int = 1, max_bytes: int = 2**20, session_id: int = 0
) -> Any:
    """A fetch of the topic's first partitions."""
    return FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=0,
        session_id=session_id,
        session_epoch=-1,
        topics=[
            FetchRequest.FetchTopic(
                topic=topic,
                partitions=[
                    FetchRequest.FetchTopic.FetchPartition(
                        partition=index, fetch_offset=offset, partition_max_bytes=max_bytes
                    )
                    for index, offset in enumerate(offsets)
                ],
            )
        ],
        forgotten_topics_data=[],
        rack_id="",
    )


async def fetch(client: WireClient, topic: str, *offsets: int, version: int = 11, **limits: int) -> list[Any]:
    """The partitions of one response."""
    response = await client.ask(fetch_request(topic, *offsets, **limits), FetchResponse, version=version)
    return list(response.responses[0].partitions)


async def test_seek_into_the_middle_of_a_batch(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        await client.produce(topic, record_batch(*(b"%d" % number for number in range(10))))
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=log_address) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 7)
        records = (await consumer.getmany(timeout_ms=5000))[partition]
    assert [(record.offset, record.value) for record in records] == [(7, b"7"), (8, b"8"), (9, b"9")]


async def test_reader_at_the_end_is_woken_by_the_next_record(
    log_address: str, producer: AIOKafkaProducer, create_topic: CreateTopic
) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        client.send(fetch_request(topic, 0, max_wait_ms=60_000), version=11)
        await producer.send_and_wait(topic, b"hello")
        response = await asyncio.wait_for(client.receive(FetchResponse, version=11), timeout=10)
    assert b"hello" in response.responses[0].partitions[0].records


async def test_reader_at_the_end_is_answered_empty_after_its_wait(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        began = time.monotonic()
        (partition,) = await fetch(client, topic, 0, max_wait_ms=200)
    assert time.monotonic() - began >= 0.2
    assert (partition.error_code, partition.records) == (0, b"")


async def test_min_bytes_waits_for_more_than_the_first_record(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as reader, wire_client(log_address) as writer:
        await writer.produce(topic, record_batch(b"first"))
        reader.send(fetch_request(topic, 0, max_wait_ms=60_000, min_bytes=1000), version=11)
        await writer.produce(topic, record_batch(bytes(1000)))
        response = await asyncio.wait_for(reader.receive(FetchResponse, version=11), timeout=10)
    assert b"first" in response.responses[0].partitions[0].records
    assert len(response.responses[0].partitions[0].records) > 1000


@pytest.mark.parametrize("max_bytes", [0, 100, 8000])
async def test_batch_larger_than_the_limit_is_returned_alone(
    log_address: str, create_topic: CreateTopic, max_bytes: int
) -> None:
    topic = await create_topic(partitions=2)
    async with wire_client(log_address) as client:
        for _ in range(2):
            await client.produce(topic, record_batch(bytes(5000)), record_batch(bytes(5000)))
        first, second = await fetch(client, topic, 0, 0, max_bytes=max_bytes)
    assert 5000 < len(first.records) < 10_000
    assert (second.records, second.high_watermark) == (b"", 2)


@pytest.mark.parametrize("version", range(4, 13))
async def test_every_version_returns_the_records(log_address: str, create_topic: CreateTopic, version: int) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        await client.produce(topic, record_batch(b"hello"))
        (partition,) = await fetch(client, topic, 0, version=version)
    assert (partition.high_watermark, partition.last_stable_offset) == (1, 1)
    # Before it are the offset, the length and the leader epoch, which are the log's to set.
    assert partition.records[16:] == record_batch(b"hello")[16:]


async def test_offset_past_the_end_is_out_of_range(log_address: str, create_topic: CreateTopic) -> None:
    partition = TopicPartition(await create_topic(), 0)
    async with AIOKafkaConsumer(bootstrap_servers=log_address, auto_offset_reset="none") as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 5)
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getone()


async def test_partition_that_does_not_exist_is_named_and_its_neighbour_read(
    log_address: str, create_topic: CreateTopic
) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        await client.produce(topic, record_batch(b"hello"))
        known, unknown = await fetch(client, topic, 0, 0, max_wait_ms=60_000)
    assert (known.error_code, unknown.error_code) == (ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    assert b"hello" in known.records


@pytest.mark.embedded_only("Kafka has fetch sessions")
async def test_fetch_session_is_refused(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as client:
        response = await client.ask(fetch_request(topic, 0, session_id=7), FetchResponse, version=11)
    assert (response.error_code, response.session_id) == (ErrorCode.FETCH_SESSION_ID_NOT_FOUND, 0)
