"""Noticing, while a reader runs, that the log has become another one.

Ids never come back. So what was read before a look came from the known log if the look still finds its ids, and only
then: that is how positions are proven (see `postcall.known_log.positions`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from postcall.errors import LogUnavailable
from postcall.known_log.identity import LogIdentity
from postcall.known_log.metadata import ClusterMetadata, read_metadata
from postcall.log_connection import LogConnection

#: Between two looks; a reader that goes on at a wrong log does so for no longer.
WATCH_INTERVAL_S: Final = 20.0
# Part of the time in which a service stops.
_PROOF_LIMIT_S: Final = 1.0

#: Notes what was read so far; what it returns is called if that was from the known log.
NoteRead = Callable[[], Awaitable[Callable[[], Awaitable[None]]]]


async def watch_log(
    log: LogConnection, known: LogIdentity, *, note_read: NoteRead, interval_s: float = WATCH_INTERVAL_S
) -> str:
    """Return once the log has other ids or other numbers of partitions than the known one; says which.

    A log that does not answer, or denies for a while that a topic exists, is no other one.
    """
    while True:
        await asyncio.sleep(interval_s)
        if change := await _look_again(log, known, note_read):
            return change


async def prove_read(log: LogConnection, known: LogIdentity, *, note_read: NoteRead) -> None:
    """Look once more when a reader ends, so that what it has read may be found again in a copy of the log."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PROOF_LIMIT_S):
            await _look_again(log, known, note_read)


async def _look_again(log: LogConnection, known: LogIdentity, note_read: NoteRead) -> str | None:
    """What is not as it was, in words. If all of it is, what was read until now is proven."""
    prove = await note_read()
    try:
        metadata = await read_metadata(log, list(known.topics))
    except LogUnavailable:
        return None
    change = find_change(known, metadata)
    if change is None and metadata.topics.keys() == known.topics.keys():
        await prove()
    return change


def find_change(known: LogIdentity, metadata: ClusterMetadata) -> str | None:
    """What is not as it was, in words; None = all that is there is as it was."""
    if metadata.cluster_id != known.cluster_id:
        return f"the cluster is {metadata.cluster_id} now, and was {known.cluster_id}"
    for name, topic in metadata.topics.items():
        before = known.topics[name]
        if topic.topic_id != before.topic_id:
            return f"{name} was made anew"
        if topic.partition_count != len(before.partitions):
            return f"{name} has {topic.partition_count} partitions now, and had {len(before.partitions)}"
    return None
