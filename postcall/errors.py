"""Errors that a person reads. The docstring of a class is its default message."""

from __future__ import annotations

from typing import ClassVar, Literal

#: What kind of failure a dead letter tells of, so that a person knows whom to ask.
ErrorClass = Literal["signature", "unreadable", "schema", "vendor", "model", "store", "bug"]


class PostcallError(Exception):
    """Something went wrong in postcall."""

    #: What the process exits with: 1 failed, 2 wrong usage, 75 (`EX_TEMPFAIL`) to be started again.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__class__.__doc__ or "").strip())


class UsageError(PostcallError):
    """The command cannot run as it was called."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting has a value that cannot be used."""


class UnreadableRecord(PostcallError):
    """A record's bytes are not what its topic promises.

    :param error_class: what kind of failure its dead letter tells of.
    """

    def __init__(self, message: str | None = None, *, error_class: ErrorClass = "unreadable") -> None:
        super().__init__(message)
        self.error_class = error_class


class LogMismatch(PostcallError):
    """The log is not the one that was read.

    `from_offset` to `to_offset` are `count` records of the partition, or its topic's partitions before and now.
    """

    #: What lets a reader go on all the same; of a reader with a data directory that is named, too.
    command: ClassVar[str] = "postcall log accept"

    def __init__(
        self,
        reason: str,
        *,
        topic: str,
        partition: int | None,
        from_offset: int,
        to_offset: int,
        count: int,
        command: str | None = None,
    ) -> None:
        super().__init__(f"{reason} If the log is right as it is: {command or self.command}")
        self.topic = topic
        self.partition = partition
        self.from_offset = from_offset
        self.to_offset = to_offset
        self.count = count


class LogUnavailable(PostcallError):
    """The log does not answer."""


class TopicsRefused(LogUnavailable):
    """The log has not the topics that are needed, and does not make them."""
