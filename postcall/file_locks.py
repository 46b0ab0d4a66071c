"""Lock files: what only one process may have open at a time, and which process that is.

A supervised service waits a moment for its lock: after `kill -9` of a supervisor the services it left behind stop in
order, and hold their locks until they have.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import IO

from postcall.errors import PostcallError
from postcall.service import STOP_LIMIT_S, is_supervised

# On a loaded machine the end of a process takes as long again.
_PATIENCE_S = 3 * STOP_LIMIT_S
_RETRY_PAUSE_S = 0.1


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
    deadline_s = time.monotonic() + (_PATIENCE_S if is_supervised() else 0.0)
    while not _try_lock(lock):
        if time.monotonic() >= deadline_s:
            holder = lock.read(64).decode("utf-8", "replace").strip()
            lock.close()
            raise LockTaken(holder or "another process")
        time.sleep(_RETRY_PAUSE_S)
    # On a full disk the holder goes unnamed, and has the lock all the same.
    with contextlib.suppress(OSError):
        lock.truncate(0)
        lock.write(f"process {os.getpid()}".encode())
    return lock


def _try_lock(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
