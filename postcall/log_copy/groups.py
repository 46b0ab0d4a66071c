"""The committed offsets of consumer groups, without which every stage would begin again at offset zero."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)
from aiokafka.structs import OffsetAndMetadata

from postcall.errors import LogUnavailable
from postcall.kafka import open_admin, open_consumer
from postcall.log_connection import LogConnection
from postcall.log_copy.errors import CopyBroken, CopyRefused
from postcall.log_copy.survey import TOPIC_PREFIX

T = TypeVar("T")
GroupOffsets = Mapping[str, Mapping[TopicPartition, OffsetAndMetadata]]

# Apache Kafka makes its topic for groups when somebody looks for the first.
_GROUPS_LIMIT_S: Final = 15
_NOT_YET: Final = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


async def read_group_offsets(log: LogConnection) -> GroupOffsets:
    """What each consumer group has committed in our topics, also groups that are not ours.

    :raises LogUnavailable: the log does not answer.
    """
    try:
        async with open_admin(log) as admin:
            groups = sorted(name for name, _ in await _patiently(admin.list_consumer_groups))
            found = {group: await _offsets_of(admin, group) for group in groups}
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not tell its consumer groups: {error!r}.") from error
    return {group: offsets for group, offsets in found.items() if offsets}


async def check_unused(log: LogConnection, groups: Collection[str]) -> None:
    """Check that nobody consumes in one of the groups, and that this user may commit for them.

    :raises CopyRefused: somebody does, or this user may not.
    :raises LogUnavailable: the log does not answer.
    """
    try:
        async with open_admin(log) as admin:
            for group in groups:
                if await _has_members(admin, group):
                    raise CopyRefused(
                        f"The consumer group {group} has members on {log}: something runs there. Stop it first."
                    )
    except GroupAuthorizationFailedError as error:
        raise CopyRefused(
            f"{log} does not let this user commit offsets for the consumer groups {', '.join(groups)}: give it the"
            " right Read on them."
        ) from error
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not tell its consumer groups: {error!r}.") from error


async def commit_group_offsets(log: LogConnection, offsets: GroupOffsets) -> None:
    """Commit for each group what it had committed, and read it back.

    :raises CopyBroken: the log did not keep it.
    :raises LogUnavailable: the log refuses, or does not answer.
    """
    for group, committed in offsets.items():
        try:
            async with open_consumer(log, group_id=group) as consumer:
                consumer.assign(list(committed))
                await consumer.commit(
                    {place: (found.offset, found.metadata or "") for place, found in committed.items()}
                )
        except KafkaError as error:
            raise LogUnavailable(f"{log} refuses the offsets of the consumer group {group}: {error!r}.") from error
    kept = await read_group_offsets(log)
    for group, committed in offsets.items():
        if any(kept.get(group, {}).get(place) != found for place, found in committed.items()):
            raise CopyBroken(f"{log} did not keep the offsets of the consumer group {group}. Run the copy again.")


async def _offsets_of(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    found = await _patiently(lambda: admin.list_consumer_group_offsets(group))
    return {
        place: OffsetAndMetadata(committed.offset, committed.metadata or "")
        for place, committed in found.items()
        if place.topic.startswith(TOPIC_PREFIX) and committed.offset >= 0
    }


async def _has_members(admin: AIOKafkaAdminClient, group: str) -> bool:
    # One at a time: aiokafka misreads an answer about several.
    (response,) = await _patiently(lambda: admin.describe_consumer_groups([group]))
    members: Collection[Any] = response.to_object()["groups"][0]["members"]
    return bool(members)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    deadline_s = time.monotonic() + _GROUPS_LIMIT_S
    while True:
        try:
            return await ask()
        except _NOT_YET:
            if time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(0.1)
