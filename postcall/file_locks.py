"""Lock files: what only one process may have open at a time, and which process that is."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from postcall.errors import PostcallError


class LockTaken(PostcallError):
    """Another process holds the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} holds the lock.")
        self.holder = holder


def take_lock(path: Path) -> IO[bytes]:
    """Take a lock file, and hold it until what is returned is closed or the process has ended, however it does.

    :raises LockTaken: another process holds it; `holder` says which.
    :raises OSError: the disk refused.
    """
    # Unbuffered, so that closing it writes nothing and cannot fail.
    lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock.read(64).decode("utf-8", "replace").strip()
        lock.close()
        raise LockTaken(holder or "another process") from None
    # On a full disk the holder goes unnamed, and has the lock all the same.
    with contextlib.suppress(OSError):
        lock.truncate(0)
        lock.write(f"process {os.getpid()}".encode())
    return lock
