"""Where a reader goes on in one partition, and what it remembers of the log there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPosition:
    """A reader's position, with its witnesses: a log that contradicts one of them is not the log that was read.

    :param is_proven: whether the log was seen to be the same after all before `next_offset` was read. If not, the last
        of it may have come from another log that had taken the place of the known one.
    :param record_checksum: of the record before `next_offset`; None = that record is not known.
    :param partition_count: how many partitions the topic had.
    """

    topic: str
    partition: int
    next_offset: int
    record_checksum: str | None = None
    cluster_id: str | None = None
    topic_id: str | None = None
    partition_count: int | None = None
    is_proven: bool = True
