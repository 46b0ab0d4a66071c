"""The directory of the database: made so that it survives a power cut, and held by one process at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from broker.errors import DataDirInUse, StorageFailed
from postcall.durable_files import sync_directory
from postcall.file_locks import LockTaken, take_lock


def make_directory(directory: Path) -> None:
    """Make a directory and what is missing above it, each entry on the disk before anything is kept inside.

    :raises StorageFailed: the disk refused.
    """
    try:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        for path in missing:
            sync_directory(path.parent)
    except OSError as error:
        raise StorageFailed(f"Cannot make {directory}: {error.strerror}.") from error


@contextlib.contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold a directory for as long as the context lasts; the operating system lets go of it if the process is killed.

    :raises DataDirInUse: another process holds it; the message says which.
    :raises StorageFailed: the disk refused.
    """
    try:
        lock = take_lock(directory / "lock")
    except LockTaken as taken:
        raise DataDirInUse(
            f"{taken.holder.capitalize()} has the log in {directory} open. Stop it, or choose another data directory."
        ) from None
    except OSError as error:
        raise StorageFailed(f"Cannot write in {directory}: {error.strerror}.") from error
    with lock:
        yield
