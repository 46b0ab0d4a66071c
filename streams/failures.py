"""How a failure is told and how long to wait after it.

An unexpected exception's own message is never logged: it may quote what a caller said.
"""

from __future__ import annotations

import errno
import random
import sqlite3
import traceback
from pathlib import Path
from typing import Final

from postcall.errors import LogUnavailable, PostcallError

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0

#: After so many failures of our own code a record is set aside, if others get through.
MAX_FAILURES = 3
#: After so many processes that ended while they worked on it, a record is set aside without being tried again.
MAX_CRASHES = 3
CRASHED = f"The process ended {MAX_CRASHES} times while it worked on this record; it was not tried again."

#: What the operating system says when the machine, not the work, is at fault.
_MACHINE_FAULTS: Final = frozenset(
    {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


def is_dependency_failure(error: BaseException) -> bool:
    """Whether the log or the disk is at fault: the same work will do once it is back."""
    if isinstance(error, LogUnavailable | sqlite3.OperationalError):
        return True
    return isinstance(error, OSError) and error.errno in _MACHINE_FAULTS


def describe_failure(error: BaseException) -> str:
    """One line for a log or a dead letter: our own words, else the exception's type and where it was raised."""
    if isinstance(error, PostcallError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "It did not end in time."
    if isinstance(error, sqlite3.Error) and (name := getattr(error, "sqlite_errorname", None)):
        return f"SQLite says {name}."
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    return f"{type(error).__name__}{place}"


def format_frames(error: BaseException) -> str:
    """The traceback without the exception's message."""
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


def pause_after(failures: int, *, longest_s: float = _LONGEST_PAUSE_S) -> float:
    """Seconds to wait after so many failures in a row: growing, and jittered so that processes do not march in step."""
    grown_s = min(longest_s, _FIRST_PAUSE_S * 2.0 ** min(failures, 16))
    return grown_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
