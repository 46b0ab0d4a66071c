"""Noticing that this process was stopped for longer than its group waits for a member.

A suspended machine, a frozen container or SIGSTOP: when the process wakes, its partitions are somebody else's, and it
is the last to know. What waits in its sockets and in its work index was done elsewhere meanwhile, and paid for. So the
first piece of work that is asked for after such a gap is refused, and the process ends, to join its group anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, NoReturn

from streams.errors import StageCrashed

# A killed process is given up by the log after this long, and its partitions go to the others. Shorter, and a machine
# that is stopped for some seconds (a snapshot, a full disk, a busy neighbour) loses its partitions for nothing; longer,
# and calls wait. Heartbeats come from a thread of their own, so a busy event loop does not miss them.
SESSION_TIMEOUT_S: Final = 10.0
# The last heartbeat may be older than the last look.
_LIMIT_S: Final = SESSION_TIMEOUT_S - 2.0
_INTERVAL_S: Final = 0.5
# The one that goes on while the machine sleeps: on macOS the monotonic clock does.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_clock() -> float:
    """Seconds since some moment, those of sleep among them."""
    return time.clock_gettime(_CLOCK)


class Vigil:
    """Looks at the clock again and again, and remembers for ever that it could not for too long."""

    def __init__(self, *, clock: Callable[[], float] = read_clock) -> None:
        self._clock = clock
        self._seen_s = clock()
        self._is_broken = False

    @property
    def is_broken(self) -> bool:
        """Whether this process has slept through its session; true at the first look after it woke, whoever looks."""
        if self._clock() - self._seen_s > _LIMIT_S:
            self._is_broken = True
        return self._is_broken

    async def keep(self) -> NoReturn:
        """Look, until the vigil is broken.

        :raises StageCrashed: it was.
        """
        self._seen_s = self._clock()
        while not self.is_broken:
            self._seen_s = self._clock()
            await asyncio.sleep(_INTERVAL_S)
        raise StageCrashed(
            f"This process was stopped for more than {_LIMIT_S:g} s, so others have its partitions. It starts again."
        )
