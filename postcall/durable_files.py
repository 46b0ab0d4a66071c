"""Making files and their names survive a power cut."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def sync_file(descriptor: int) -> None:
    """fsync, and on macOS what fsync only promises there."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Force to the disk which files a directory holds, after one was made, renamed or removed."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
