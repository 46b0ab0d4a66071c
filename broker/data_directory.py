"""The directory of the database: made so that it survives a power cut, and held by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from broker.errors import DataDirInUse, StorageFailed


def make_directory(directory: Path) -> None:
    """Make a directory and what is missing above it, each entry on the disk before anything is kept inside.

    :raises StorageFailed: the disk refused.
    """
    try:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        for path in missing:
            _sync_directory(path.parent)
    except OSError as error:
        raise StorageFailed(f"Cannot make {directory}: {error.strerror}.") from error


@contextlib.contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold a directory for as long as the context lasts; the operating system lets go of it if the process is killed.

    :raises DataDirInUse: another process holds it; the message says which.
    :raises StorageFailed: the disk refused.
    """
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFailed(f"Cannot write in {directory}: {error.strerror}.") from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        raise DataDirInUse(
            f"Process {holder} has the log in {directory} open. Stop it, or choose another data directory."
        ) from None
    # On a full disk the holder goes unnamed, but what the log has can be read.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
