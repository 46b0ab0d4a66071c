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
from postcall.generations import Generation
from postcall.known_log.identity import TopicIdentity, read_identity
from postcall.log_connection import LogConnection
from postcall.topics import WEBHOOKS, Topic, stage_group
from streams.group_offsets import commit_for_group, read_committed

_LOOK_INTERVAL_S: Final = 0.3
_STANDSTILL_LIMIT_S: Final = 60.0


class NotSettled(PostcallError):
    """The stages have not read what they must have read before another generation can take over."""


async def read_frontier(log: LogConnection, live: Generation) -> dict[int, int]:
    """Up to where `normalize` has derived the deliveries in the live generation, in each partition.

    :raises NotSettled: it has never read, or the log has forgotten it.
    :raises LogUnavailable: the log does not answer.
    """
    topic = await _look_at(log, WEBHOOKS)
    group = stage_group("normalize", live.number)
    committed = await read_committed(log, group, WEBHOOKS, partitions=len(topic.partitions))
    frontier = {}
    for partition, held in enumerate(topic.partitions):
        if partition not in committed and live.number == 1 and held.end > held.start:
            raise NotSettled(
                f"The log knows of no {group} in {WEBHOOKS.name}/{partition}, so what was derived of it is not known."
                " Let `postcall streams` run until `postcall status` shows no lag, and try again."
            )
        # What is before a later generation's own cut-over was derived when it was made.
        frontier[partition] = max(held.start, committed.get(partition, live.begin(WEBHOOKS.name, partition)))
    return frontier


async def until_planned(log: LogConnection, live: Generation) -> None:
    """Return once `plan` has read all events that the live generation has now.

    :raises NotSettled: it stands still.
    :raises LogUnavailable: the log does not answer.
    """
    ends = {number: held.end for number, held in enumerate((await _look_at(log, live.topic)).partitions)}
    least, since_s = None, time.monotonic()
    while behind := await _count_unplanned(log, live, ends):
        if least is None or behind < least:
            least, since_s = behind, time.monotonic()
        elif time.monotonic() - since_s > _STANDSTILL_LIMIT_S:
            raise NotSettled(
                f"The stage plan has {behind} events of {live.topic.name} to read, and stands still: what they ask for"
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


async def begin_groups(log: LogConnection, live: Generation) -> None:
    """Let the groups of a generation that has just become live begin at its cut-over, if they have not begun by now.

    The stages would do so as well, when they start; so it is known before that what lies before was read.

    :raises LogUnavailable: the log does not answer.
    """
    for stage, topic, offsets in (("normalize", WEBHOOKS, live.webhooks), ("plan", live.topic, live.events)):
        await commit_for_group(log, stage_group(stage, live.number), topic, offsets)


async def count_events(log: LogConnection, generation: Generation) -> int:
    """How many records of a generation the log has.

    :raises LogUnavailable: the log does not answer.
    """
    return sum(held.end - held.start for held in (await _look_at(log, generation.topic)).partitions)


async def _count_unplanned(log: LogConnection, live: Generation, ends: Mapping[int, int]) -> int:
    committed = await read_committed(log, stage_group("plan", live.number), live.topic, partitions=len(ends))
    return sum(
        max(0, end - committed.get(partition, live.begin(live.topic.name, partition)))
        for partition, end in ends.items()
    )


async def _look_at(log: LogConnection, topic: Topic) -> TopicIdentity:
    found = (await read_identity(log, [topic.name])).topics.get(topic.name)
    if found is None:
        raise LogUnavailable(f"The log at {log} has no topic {topic.name}.")
    return found
