"""The topic of a generation that is not live: made empty, and deleted again where it does not become it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code

from postcall.errors import LogUnavailable, PostcallError, TopicsRefused
from postcall.generations import read_generation
from postcall.kafka import open_admin
from postcall.known_log.identity import read_identity
from postcall.known_log.metadata import read_metadata
from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import WEBHOOKS, events_topic

_LIMIT_S: Final = 30.0
_RETRY_PAUSE_S: Final = 0.2


async def make_topic(log: LogConnection, generation: int, wanted: TopicSettings) -> str | None:
    """Make the topic of a generation, with as many partitions as the deliveries have; returns its id.

    What an earlier attempt left of it is deleted.

    :raises TopicsRefused: the log lets this user not delete or not make it.
    :raises PostcallError: the generation is live already.
    :raises LogUnavailable: the log does not answer.
    """
    name = events_topic(generation).name
    metadata = await read_metadata(log, [WEBHOOKS.name])
    if WEBHOOKS.name not in metadata.topics:
        raise LogUnavailable(f"The log at {log} has no topic {WEBHOOKS.name}.")
    await delete_topic(log, generation)
    await create_topics(log, replace(wanted, partitions=metadata.topics[WEBHOOKS.name].partition_count), names=[name])
    made = (await read_identity(log, [name])).topics[name]
    if any(held.end for held in made.partitions):
        raise TopicsRefused(f"The topic {name} is not empty: somebody else writes to it, or it is being deleted.")
    return made.topic_id


async def delete_topic(log: LogConnection, generation: int, *, topic_id: str | None = None) -> None:
    """Delete the topic of a generation, if it is there; returns once it is gone.

    :param topic_id: only if it is still the one of this id, and not somebody else's.
    :raises TopicsRefused: the log does not let this user delete it.
    :raises PostcallError: it is the topic of the live generation, or of one before.
    :raises LogUnavailable: the log does not answer.
    """
    name = events_topic(generation).name
    found = (await read_metadata(log, [name])).topics.get(name)
    if found is None or topic_id not in (None, found.topic_id):
        return
    if (await read_generation(log)).number >= generation:
        raise PostcallError(f"Generation {generation} has just become the live one: somebody else derived it.")
    try:
        async with open_admin(log) as admin:
            await _delete(admin, name)
            deadline_s = time.monotonic() + _LIMIT_S
            while name in await admin.list_topics():
                if time.monotonic() > deadline_s:
                    raise TopicsRefused(f"The topic {name} was deleted, and is still there.")
                await asyncio.sleep(_RETRY_PAUSE_S)
    except KafkaError as error:
        raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error


async def _delete(admin: AIOKafkaAdminClient, name: str) -> None:
    response = await admin.delete_topics([name])
    for _, code, *_ in response.topic_error_codes:
        if code and for_code(code) is not UnknownTopicOrPartitionError:
            raise TopicsRefused(
                f"The topic {name}, which is not the live one, cannot be deleted: {for_code(code).description}."
            )
