"""Where one generation ends and the next begins: no delivery may fall between them, and none may be planned twice.

What is before the cut-over was derived and planned in the live generation, so in the next one `normalize` begins there
and `plan` reads none of the events from before. What both derive around it comes to the same: an event's id says what
it says, and a request's which work it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from postcall.errors import LogUnavailable, PostcallError
from postcall.known_log.identity import TopicIdentity, read_identity
from postcall.log_connection import LogConnection
from postcall.topics import WEBHOOKS, Topic, events_topic, stage_group
from streams.group_offsets import read_committed

_LOOK_INTERVAL_S: Final = 0.3
_STANDSTILL_LIMIT_S: Final = 20.0


class NotSettled(PostcallError):
    """The stages have not read what they must have read before another generation can take over."""


async def read_frontier(log: LogConnection, generation: int) -> dict[int, int]:
    """Up to where `normalize` has derived the deliveries, in each partition.

    :raises NotSettled: it has never read, or the log has forgotten it.
    :raises LogUnavailable: the log does not answer.
    """
    topic = await _look_at(log, WEBHOOKS)
    group = stage_group("normalize", generation)
    committed = await read_committed(log, group, WEBHOOKS, partitions=len(topic.partitions))
    frontier = {}
    for partition, held in enumerate(topic.partitions):
        if partition not in committed and held.end > held.start:
            raise NotSettled(
                f"The log knows of no {group} in {WEBHOOKS.name}/{partition}, so what was derived of it is not known."
                " Let `postcall streams` run until `postcall status` shows no lag, and try again."
            )
        frontier[partition] = max(held.start, committed.get(partition, held.start))
    return frontier


async def until_planned(log: LogConnection, generation: int) -> None:
    """Return once `plan` has read all events that the generation has now.

    :raises NotSettled: it stands still.
    :raises LogUnavailable: the log does not answer.
    """
    events = events_topic(generation)
    ends = {number: held.end for number, held in enumerate((await _look_at(log, events)).partitions)}
    least, since_s = None, time.monotonic()
    while behind := await _count_unplanned(log, generation, ends):
        if least is None or behind < least:
            least, since_s = behind, time.monotonic()
        elif time.monotonic() - since_s > _STANDSTILL_LIMIT_S:
            raise NotSettled(
                f"The stage plan has {behind} events of {events.name} to read, and stands still: what they ask for"
                " would never be done. Let `postcall streams` run until `postcall status` shows no lag, and try again."
            )
        await asyncio.sleep(_LOOK_INTERVAL_S)


async def read_ends(log: LogConnection, topic: Topic, *, topic_id: str | None) -> dict[int, int]:
    """Where the partitions of a topic end, if it is still the one of this id.

    :raises PostcallError: it is not.
    :raises LogUnavailable: the log does not answer.
    """
    found = await _look_at(log, topic)
    if found.topic_id != topic_id:
        raise PostcallError(f"{topic.name} was made anew meanwhile: somebody else derives the same generation.")
    return {number: held.end for number, held in enumerate(found.partitions)}


async def count_events(log: LogConnection, generation: int) -> int:
    """How many records of a generation the log has.

    :raises LogUnavailable: the log does not answer.
    """
    return sum(held.end - held.start for held in (await _look_at(log, events_topic(generation))).partitions)


async def _count_unplanned(log: LogConnection, generation: int, ends: Mapping[int, int]) -> int:
    committed = await read_committed(
        log, stage_group("plan", generation), events_topic(generation), partitions=len(ends)
    )
    return sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())


async def _look_at(log: LogConnection, topic: Topic) -> TopicIdentity:
    found = (await read_identity(log, [topic.name])).topics.get(topic.name)
    if found is None:
        raise LogUnavailable(f"The log at {log} has no topic {topic.name}.")
    return found
