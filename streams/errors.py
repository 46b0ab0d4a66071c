"""What stops a stage, in words for the operator."""

from __future__ import annotations

from postcall.errors import PostcallError


class StageCrashed(PostcallError):
    """The stage's consumer failed; the process ends, to be started again with nothing lost."""


class RecordTooLarge(PostcallError):
    """The record is larger than the log takes."""


class LogMismatch(PostcallError):
    """The log is not the one that the work index was made from."""

    def __init__(self, message: str, *, topic: str, partition: int, offset: int) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition
        self.offset = offset


class WorkIndexUnusable(PostcallError):
    """The work index cannot be opened."""
