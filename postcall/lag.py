"""How far each stage is behind: high watermark minus committed offset, in records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from postcall.errors import LogUnavailable
from postcall.generations import may_have_later, read_generation
from postcall.kafka import open_admin, open_consumer
from postcall.log_connection import LogConnection
from postcall.topics import ALL_TOPICS, STAGE_INPUTS, generation_of, stage_group, stage_input

# Apache Kafka makes its topic for groups when somebody looks for the first: it took a fifth of a second, idle.
_GROUPS_LIMIT_S = 10
_TOPICS = frozenset(topic.name for topic in ALL_TOPICS)
_NOT_YET = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageLag:
    """One stage: what it reads, and how many of those records it has not committed yet."""

    stage: str
    topic: str
    lag: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LogState:
    """The high watermark of each topic's partitions, and each stage's lag behind them in the live generation."""

    high_watermarks: dict[TopicPartition, int]
    stages: tuple[StageLag, ...]
    generation: int = 1


async def read_log_state(log: LogConnection) -> LogState:
    """Ask the log.

    :raises LogUnavailable: it does not answer.
    """
    async with open_admin(log) as admin, open_consumer(log) as consumer:
        try:
            places = await _all_partitions(admin)
            marks = await consumer.end_offsets(places)
            is_first = not may_have_later({place.topic for place in places})
            live = 1 if is_first else (await read_generation(log)).number
            stages = [await _stage_lag(admin, stage, live, marks) for stage in STAGE_INPUTS]
        except KafkaError as error:
            raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error
    return LogState(high_watermarks=marks, stages=tuple(stages), generation=live)


async def _all_partitions(admin: AIOKafkaAdminClient) -> list[TopicPartition]:
    there = set(await admin.list_topics())
    topics = await admin.describe_topics([name for name in there if name in _TOPICS or generation_of(name)])
    return [
        TopicPartition(topic["topic"], partition["partition"]) for topic in topics for partition in topic["partitions"]
    ]


async def _stage_lag(
    admin: AIOKafkaAdminClient, stage: str, generation: int, marks: dict[TopicPartition, int]
) -> StageLag:
    topic = stage_input(stage, generation).name
    partitions = {partition: mark for partition, mark in marks.items() if partition.topic == topic}
    committed = await _committed_offsets(admin, stage_group(stage, generation), partitions)
    # A partition that nothing was committed for is at -1: everything in it is still to be read. One that was committed
    # since the marks were read may be beyond them.
    lag = sum(max(0, mark - max(0, committed[partition])) for partition, mark in partitions.items())
    return StageLag(stage=stage, topic=topic, lag=lag)


async def _committed_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    deadline = time.monotonic() + _GROUPS_LIMIT_S
    while partitions:
        try:
            committed = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
        except _NOT_YET:
            if time.monotonic() > deadline:
                raise
        else:
            # A coordinator that is still loading answers with no partitions, and aiokafka does not read its error.
            if len(committed) == len(partitions):
                return {partition: found.offset for partition, found in committed.items()}
            if time.monotonic() > deadline:
                raise GroupLoadInProgressError(group)
        await asyncio.sleep(0.1)
    return {}
