"""Ending a process whose event loop hangs, and saying where it hung.

A body that loops for ever can neither be cancelled nor heard of. A thread beside it notices that the loop no longer
turns, logs the frames that it hangs in, and ends the process as a crash would: the crash journal then finds the record.
The supervisor does the same from outside a little later, for code that does not even let other threads run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from typing import Final, NoReturn

logger = logging.getLogger(__name__)

#: Shorter than the supervisor's patience, which cannot say where a child hangs.
LIMIT_S: Final = 12.0
EXIT_CODE: Final = 70
_INTERVAL_S: Final = 1.0
# A thread that was not woken for so long was stopped with the whole process: then the loop did not hang.
_STOPPED_S: Final = 5.0


class Watchdog:
    """Watches the event loop of the thread that calls `keep`."""

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._turned_at = time.monotonic()
        self._watched = threading.get_ident()
        self._is_over = threading.Event()

    async def keep(self) -> NoReturn:
        """Show that the loop turns, until cancelled."""
        self._turned_at = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                self._turned_at = time.monotonic()
                await asyncio.sleep(_INTERVAL_S)
        finally:
            self._is_over.set()

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._is_over.wait(_INTERVAL_S):
            now = time.monotonic()
            if now - looked_at > _STOPPED_S:
                self._turned_at = now
            looked_at = now
            if now - self._turned_at > self._limit_s:
                self._end()

    def _end(self) -> NoReturn:
        frames = traceback.format_stack(sys._current_frames().get(self._watched))  # noqa: SLF001 - the documented way
        logger.critical(
            "Stage hangs for more than %g s in its own code, ending the process",
            self._limit_s,
            extra={"action": "hung", "frames": "".join(frames)},
        )
        os._exit(EXIT_CODE)
