"""Why a log is not copied."""

from __future__ import annotations

from aiokafka import TopicPartition

from postcall.errors import PostcallError


class CopyRefused(PostcallError):
    """The log cannot be copied; no record was written."""


class CopyBroken(PostcallError):
    """The copy ended before it was whole. What was copied stays; run it again to go on."""


class PartitionError(PostcallError):
    """Something is wrong with one partition: at which `offset`, None if with all of it."""

    def __init__(self, message: str, place: TopicPartition, offset: int | None = None) -> None:
        super().__init__(message)
        self.topic = place.topic
        self.partition = place.partition
        self.offset = offset


class RecordsMissing(PartitionError):
    """A partition does not have all records from offset 0 on, so offsets could not be kept."""


class TargetNotEmpty(PartitionError, CopyRefused):
    """The target holds records that are not the beginning of the source."""


class CopyDiffers(PartitionError, CopyBroken):
    """What was read back from the target is not what was copied."""


def name_of(place: TopicPartition) -> str:
    """A partition as people write it."""
    return f"{place.topic}/{place.partition}"
