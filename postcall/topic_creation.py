"""The topics on the log: those that are missing are made, those that are there are compared, and none is altered.

Several processes may do this at once, on several machines. A user without the right to create topics can do it too,
once all are there: then nothing is asked for that such a user may not do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from postcall.errors import LogUnavailable, TopicsRefused
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.log_diagnosis import explain_failure
from postcall.topic_settings import Difference, TopicSettings, TopicState, find_differences
from postcall.topics import ALL_TOPICS, generation_of

logger = logging.getLogger(__name__)

TOPIC_NAMES: Final = tuple(topic.name for topic in ALL_TOPICS)

_LEADERS_LIMIT_S = 15
_CREATE_FIRST: Final = (
    "Let somebody who may run `postcall topics --create` first; then the services need no such right."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicsReport:
    """What was made, what is missing, and how those that are there are; in the order of the names."""

    made: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    states: tuple[TopicState, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def uncompared(self) -> tuple[str, ...]:
        """Those whose configs the log does not let this user read."""
        return tuple(state.name for state in self.states if state.configs is None)


async def create_topics(
    log: LogConnection, wanted: TopicSettings, *, names: Sequence[str] = TOPIC_NAMES
) -> TopicsReport:
    """Make the topics that are not there yet; returns once all can be written to.

    :raises LogUnavailable: the log does not answer.
    :raises TopicsRefused: it does not let this user make them, or not so; says what to do.
    """
    async with open_admin(log) as admin:
        try:
            there = await _described(admin)
            missing = [name for name in names if name not in there]
            if missing:
                await _make(admin, missing, wanted)
            there = await _wait_for_leaders(admin, names)
            report = await _compare(admin, there, _with_generations(names, there), wanted)
        except KafkaError as error:
            raise LogUnavailable(await explain_failure(log, error)) from error
    return TopicsReport(made=tuple(missing), states=report.states, differences=report.differences)


async def compare_topics(log: LogConnection, wanted: TopicSettings) -> TopicsReport:
    """Compare the topics that are there, and make none.

    :raises LogUnavailable: the log does not answer.
    """
    async with open_admin(log) as admin:
        try:
            there = await _described(admin)
            return await _compare(admin, there, _with_generations(TOPIC_NAMES, there), wanted)
        except KafkaError as error:
            raise LogUnavailable(await explain_failure(log, error)) from error


def _with_generations(names: Sequence[str], there: Iterable[str]) -> Sequence[str]:
    """All of ours: with the events of the later generations, of which each is made when it is derived."""
    if names != TOPIC_NAMES:
        return names
    later = {number: name for name in there if (number := generation_of(name) or 1) > 1}
    return [*names, *(later[number] for number in sorted(later))]


class DifferenceLog:
    """Logs each difference once in a process's life, however often the topics are looked at."""

    def __init__(self) -> None:
        self._told: set[Difference] = set()

    def tell(self, differences: Iterable[Difference]) -> None:
        """Log those that were not told yet."""
        for difference in differences:
            if difference not in self._told:
                self._told.add(difference)
                logger.warning("%s", difference, extra={"action": "topic_differs", "topic": difference.topic})


async def _described(admin: AIOKafkaAdminClient) -> dict[str, dict[str, Any]]:
    # All that there are: a broker may make a topic that is asked for by name, with its own defaults.
    return {topic["topic"]: topic for topic in await admin.describe_topics()}


async def _make(admin: AIOKafkaAdminClient, names: list[str], wanted: TopicSettings) -> None:
    response = await admin.create_topics(
        [
            NewTopic(
                name=name,
                num_partitions=wanted.partitions,
                replication_factor=wanted.replication_factor,
                topic_configs=wanted.configs_of(name),
            )
            for name in names
        ]
    )
    for name, code, message, *_ in response.topic_errors:
        # Another process may have made it between the listing and now: that is what was wanted.
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise _refusal(name, for_code(code), message, wanted)


def _refusal(name: str, error: type[KafkaError], message: str | None, wanted: TopicSettings) -> TopicsRefused:
    said = (message or error.description).rstrip(".")
    if error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
        return TopicsRefused(f"The topic {name} is not there, and this user may not create it. {_CREATE_FIRST}")
    if error is InvalidReplicationFactorError:
        return TopicsRefused(
            f"The topic {name} cannot have {wanted.replication_factor} replicas: {said}."
            " Set POSTCALL_REPLICATION_FACTOR to the number of brokers at most."
        )
    return TopicsRefused(f"The topic {name} cannot be made: {said}.")


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Apache Kafka answers before its brokers know the topics, and would deny for a moment that they exist."""
    deadline = time.monotonic() + _LEADERS_LIMIT_S
    while True:
        there = await _described(admin)
        waiting = [name for name in names if not _is_led(there.get(name))]
        if not waiting:
            return there
        if time.monotonic() > deadline:
            raise TopicsRefused(_why_not_usable(waiting[0], is_listed=waiting[0] in there))
        await asyncio.sleep(0.05)


def _is_led(topic: dict[str, Any] | None) -> bool:
    return (
        topic is not None
        and not topic["error_code"]
        and bool(topic["partitions"])
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
    )


def _why_not_usable(name: str, *, is_listed: bool) -> str:
    if is_listed:
        return f"The topic {name} has a partition without a leader: are all brokers up?"
    return f"The log does not show the topic {name} to this user: the right to describe it is missing."


async def _compare(
    admin: AIOKafkaAdminClient, there: Mapping[str, dict[str, Any]], names: Sequence[str], wanted: TopicSettings
) -> TopicsReport:
    present = [name for name in names if name in there]
    configs = await _read_configs(admin, present, wanted)
    states = tuple(
        TopicState(
            name=name,
            partitions=len(there[name]["partitions"]),
            replication_factor=min(len(partition["replicas"]) for partition in there[name]["partitions"]),
            configs=configs.get(name),
        )
        for name in present
    )
    return TopicsReport(
        missing=tuple(name for name in names if name not in there),
        states=states,
        differences=tuple(difference for state in states for difference in find_differences(state, wanted)),
    )


async def _read_configs(
    admin: AIOKafkaAdminClient, names: list[str], wanted: TopicSettings
) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = dict.fromkeys((*wanted.configs(1), *wanted.configs(2)))
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=asked) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for code, _message, _type, name, entries in response.resources:
            # Whoever may not read them goes on without: they are only compared.
            if not code:
                found[name] = {entry[0]: entry[1] for entry in entries}
    return found
