"""Topics and what is told of them, with kafka-python's admin client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import TopicPartition as AIOKafkaTopicPartition
from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import InvalidTopicError, TopicAlreadyExistsError
from kafka.protocol.consumer import OffsetFetchRequest, OffsetFetchResponse
from kafka.protocol.metadata import MetadataRequest, MetadataResponse

from broker.errors import ErrorCode
from broker.record_batches import MAX_BATCH_BYTES
from tests.broker.admin import wait_for_leaders
from tests.broker.wire import record_batch, wire_client

pytestmark = pytest.mark.both_logs


@pytest.fixture
def admin(log_address: str) -> Iterator[KafkaAdminClient]:
    """An admin client."""
    client = KafkaAdminClient(bootstrap_servers=log_address)
    yield client
    client.close()


def test_created_topic_is_described(admin: KafkaAdminClient) -> None:
    admin.create_topics([NewTopic("calls", 2, 1)])
    (topic,) = admin.describe_topics(["calls"])
    assert [partition["partition_index"] for partition in topic["partitions"]] == [0, 1]
    assert "calls" in admin.list_topics()


def test_topic_is_created_once(admin: KafkaAdminClient) -> None:
    admin.create_topics([NewTopic("calls", 1, 1)])
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics([NewTopic("calls", 1, 1)])


@pytest.mark.parametrize("name", ["", ".", "a/b", "a b", "x" * 250, "ünïcode"])
def test_name_that_is_none_is_refused(admin: KafkaAdminClient, name: str) -> None:
    with pytest.raises(InvalidTopicError):
        admin.create_topics([NewTopic(name, 1, 1)])


def test_topic_made_again_is_empty_and_has_another_id(log_address: str, admin: KafkaAdminClient) -> None:
    async def produce() -> int:
        await wait_for_leaders(log_address, AIOKafkaTopicPartition("calls", 0))
        async with wire_client(log_address) as client:
            (response,) = await client.produce("calls", record_batch(b"hello"))
            return int(response.base_offset)

    offsets, ids = [], []
    for _ in range(2):
        admin.create_topics([NewTopic("calls", 1, 1)])
        offsets.append(asyncio.run(produce()))
        ids.append(admin.describe_topics(["calls"])[0]["topic_id"])
        admin.delete_topics(["calls"])
    assert offsets == [0, 0]
    assert ids[0] != ids[1]


@pytest.mark.embedded_only("Kafka has its own defaults")
def test_configs_tell_what_holds_and_what_the_topic_was_made_with(admin: KafkaAdminClient) -> None:
    admin.create_topics([NewTopic("calls", 1, 1, topic_configs={"retention.ms": "1000"})])
    described = str(admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "calls")], config_filter="all"))
    assert "max.message.bytes" in described
    assert str(MAX_BATCH_BYTES) in described
    assert "'1000'" in described


def test_cluster_has_one_broker_at_the_address_that_was_asked(log_address: str, admin: KafkaAdminClient) -> None:
    cluster = admin.describe_cluster()
    (broker,) = cluster["brokers"]
    assert f"{broker['host']}:{broker['port']}" == log_address
    assert cluster["controller_id"] == broker["broker_id"]


@pytest.mark.parametrize("version", range(13))
async def test_every_metadata_version_tells_an_unknown_topic(log_address: str, version: int) -> None:
    request = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name="nowhere")])
    async with wire_client(log_address) as client:
        response = await client.ask(request, MetadataResponse, version=version)
    assert [topic.error_code for topic in response.topics] == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]


@pytest.mark.parametrize("version", range(1, 8))
async def test_every_offset_fetch_version_tells_that_nothing_is_committed(
    log_address: str, admin: KafkaAdminClient, version: int
) -> None:
    admin.create_topics([NewTopic("calls", 1, 1)])
    topic = OffsetFetchRequest.OffsetFetchRequestTopic(name="calls", partition_indexes=[0])
    async with wire_client(log_address) as client:
        response = await client.ask(
            OffsetFetchRequest(group_id="readers", topics=[topic]), OffsetFetchResponse, version=version
        )
    (partition,) = response.topics[0].partitions
    assert (partition.error_code, partition.committed_offset) == (ErrorCode.NONE, -1)


def test_group_with_members_is_listed_and_described(log_address: str, admin: KafkaAdminClient) -> None:
    admin.create_topics([NewTopic("calls", 2, 1)])
    consumer = KafkaConsumer("calls", bootstrap_servers=log_address, group_id="readers", enable_auto_commit=False)
    try:
        consumer.poll(timeout_ms=5000, max_records=1)
        while not consumer.assignment():
            consumer.poll(timeout_ms=100)
        (listed,) = admin.list_groups()
        described = admin.describe_groups(["readers"])["readers"]
    finally:
        consumer.close()
    assert (listed["group_id"], listed["group_state"]) == ("readers", "Stable")
    (member,) = described["members"]
    assert member["member_assignment"]["assigned_partitions"] == [{"topic": "calls", "partitions": [0, 1]}]


def test_group_without_members_keeps_its_offsets(log_address: str, admin: KafkaAdminClient) -> None:
    partition = TopicPartition("calls", 0)
    admin.create_topics([NewTopic("calls", 1, 1)])
    consumer = KafkaConsumer(bootstrap_servers=log_address, group_id="readers", enable_auto_commit=False)
    try:
        consumer.assign([partition])
        consumer.commit({partition: OffsetAndMetadata(5, "note", -1)})
    finally:
        consumer.close()
    (listed,) = admin.list_groups()
    kept = admin.list_group_offsets("readers")["readers"][partition]
    assert (listed["group_id"], listed["group_state"]) == ("readers", "Empty")
    assert (kept.offset, kept.metadata) == (5, "note")
