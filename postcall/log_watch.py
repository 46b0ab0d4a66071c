"""Noticing, while a reader runs, that the log has become another one."""

from __future__ import annotations

import asyncio
from typing import Final

from postcall.errors import LogUnavailable
from postcall.log_connection import LogConnection
from postcall.log_identity import LogIdentity
from postcall.log_metadata import ClusterMetadata, read_metadata

#: Between two looks; a reader that goes on at a wrong log does so for no longer.
WATCH_INTERVAL_S: Final = 20.0


async def watch_log(log: LogConnection, known: LogIdentity, *, interval_s: float = WATCH_INTERVAL_S) -> str:
    """Return once the log has other ids or other numbers of partitions than the known one; says which.

    A log that does not answer, or denies for a while that a topic exists, is no other one.
    """
    while True:
        await asyncio.sleep(interval_s)
        try:
            metadata = await read_metadata(log, list(known.topics))
        except LogUnavailable:
            continue
        if change := find_change(known, metadata):
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
