"""What the operating system holds the attach's process to, so that the pipeline beside it notices nothing."""

from __future__ import annotations

import os
import resource
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_NICENESS: Final = 10
_MAX_FILES: Final = 512


def yield_to_others() -> None:
    """At most half of the cores, and those last: a client may ask for 128 whole tables at a time."""
    os.nice(_NICENESS)
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: max(1, len(cores) // 2)])


def limit_this_process(memory_mb: int) -> None:
    """No file can be written, and memory counts from what the process has now, its 128 threads of HTTP included."""
    for kind, amount in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_AS, _address_space_bytes() + memory_mb * 1024 * 1024),
    ):
        # A limit that cannot be set (macOS refuses some) leaves the others.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (amount, amount))


def count_removed_files() -> int:
    """Open files that have no name any more: here these are old copies."""
    count = 0
    for descriptor in range(_MAX_FILES):
        with suppress(OSError):
            found = os.fstat(descriptor)
            count += stat.S_ISREG(found.st_mode) and found.st_nlink == 0
    return count


def _address_space_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()
