"""Looking at real processes from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable


def descendants_of(pid: int) -> dict[int, str]:
    """Process id and command line of every descendant, parents first."""
    listing = subprocess.run(["ps", "-axo", "pid=,ppid=,command="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        children = {int(row[0]): row[2] for row in rows if int(row[1]) in parents and len(row) == 3}
        found |= children
        parents = set(children)
    return found


def kill_service(pipeline_pid: int, service: str) -> list[int]:
    """kill -9 a service and everything that it started; returns who was killed."""
    # Parents come first, so of `postcall streams` and its stages the former.
    root = next(pid for pid, line in descendants_of(pipeline_pid).items() if f" postcall {service}" in line)
    victims = [root, *descendants_of(root)]
    signal_all(victims, signal.SIGKILL)
    return victims


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each that still is, in this order."""
    for pid in pids:
        # A query's process lives for a moment only.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
