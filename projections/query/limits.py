"""The limits that the operating system holds a query to."""

from __future__ import annotations

import contextlib
import math
import resource
import signal
from pathlib import Path


def limit_this_process(*, memory_mb: int, deadline_s: float, threads: int) -> None:
    """Limit memory, processor time and files of this process, and end it soon after the deadline whatever happens.

    Memory counts from what the process has now. macOS does not hold a process to an address-space limit: there the
    engine's own limit is what is left, and the deadline.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(math.ceil(deadline_s) + 1)
    cpu_s = math.ceil(deadline_s * threads) + 1
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_AS, _address_space_bytes() + memory_mb * 1024 * 1024)


def _limit(kind: int, amount: int) -> None:
    # A limit that cannot be set (macOS refuses some) leaves the others.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (amount, amount))


def _address_space_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()
