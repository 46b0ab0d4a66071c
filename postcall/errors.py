"""Errors that a person reads. The docstring of a class is its default message."""

from __future__ import annotations

from typing import ClassVar


class PostcallError(Exception):
    """Something went wrong in postcall."""

    #: What the process exits with: 1 failed, 2 wrong usage.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__class__.__doc__ or "").strip())


class UsageError(PostcallError):
    """The command cannot run as it was called."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting has a value that cannot be used."""


class UnreadableRecord(PostcallError):
    """A record's bytes are not what its topic promises."""


class LogUnavailable(PostcallError):
    """The log does not answer."""


class TopicsRefused(LogUnavailable):
    """The log has not the topics that are needed, and does not make them."""
