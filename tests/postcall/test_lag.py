"""How far the stages are behind, on any log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from postcall.errors import LogUnavailable
from postcall.kafka import append, open_consumer, open_producer
from postcall.lag import read_log_state
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import STAGE_INPUTS, WEBHOOKS, stage_group
from tests.logs.errors import NoKafka
from tests.logs.real_kafka import kept_kafka


async def lags(address: str) -> dict[str, int]:
    return {stage.stage: stage.lag for stage in (await read_log_state(LogConnection(address))).stages}


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[str]:
    """An Apache Kafka that nobody has asked for a group yet."""
    try:
        with kept_kafka(tmp_path) as address:
            yield address
    except NoKafka as reason:
        pytest.skip(f"No Apache Kafka to start: {reason}")


@pytest.mark.both_logs
async def test_a_log_without_topics_has_no_lag(log_address: str) -> None:
    assert await lags(log_address) == dict.fromkeys(STAGE_INPUTS, 0)


@pytest.mark.kafka
async def test_a_cluster_that_never_had_a_group_has_no_lag(new_cluster: str) -> None:
    await create_topics(LogConnection(new_cluster), TopicSettings(partitions=2))
    assert await lags(new_cluster) == dict.fromkeys(STAGE_INPUTS, 0)


@pytest.mark.both_logs
async def test_lag_is_what_was_appended_and_not_committed(log_address: str) -> None:
    await create_topics(LogConnection(log_address), TopicSettings(partitions=1))
    async with open_producer(LogConnection(log_address)) as producer:
        await append(producer, [NewRecord(topic=WEBHOOKS.name, key=None, value=b"", headers=()) for _ in range(5)])
    assert await lags(log_address) == {**dict.fromkeys(STAGE_INPUTS, 0), "normalize": 5}
    async with open_consumer(LogConnection(log_address), group_id=stage_group("normalize")) as consumer:
        partition = TopicPartition(WEBHOOKS.name, 0)
        consumer.assign([partition])
        await consumer.commit({partition: 3})
    assert (await lags(log_address))["normalize"] == 2


async def test_a_log_that_does_not_answer_is_told() -> None:
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1"):
        await read_log_state(LogConnection("127.0.0.1:1"))
