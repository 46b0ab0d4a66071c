"""Keeps the attach's process running: starts it, logs what it says, and starts it again when it has ended."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from typing import Any, Final

from projections.attaching.child import Offer

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from projections.attaching.child import main; main()"
)
#: Level and sentence of what the process says.
_SAYINGS: Final = {
    "served": (logging.INFO, "The copy is served to other DuckDBs"),
    "copy_taken": (logging.DEBUG, "The newest copy is served to other DuckDBs"),
    "copy_refused": (logging.WARNING, "The newest copy cannot be served to other DuckDBs; the one before is"),
    "ended": (logging.INFO, "Other DuckDBs have to attach again"),
    "failed": (logging.WARNING, "The attach's process cannot go on"),
}


class Keeper:
    """Keeps one process at it, in a thread of its own."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name="attach", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process at the moment, or the last one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def stop(self) -> None:
        """End it, whatever it is doing."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                self._process.kill()
        self._thread.join()

    def _keep_running(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            events: set[str] = set()
            try:
                self._run_once(events)
            except OSError as error:
                logger.warning(
                    "The attach's process could not be started",
                    extra={"action": "attach_start_failed", "reason": str(error)},
                )
            pause_s = _FIRST_PAUSE_S if "served" in events else min(2 * pause_s, _LONGEST_PAUSE_S)
            self._stopping.wait(pause_s)

    def _run_once(self, events: set[str]) -> None:
        """Run one process to its end; adds to `events` what happened in it."""
        with self._lock:
            if self._stopping.is_set():
                return
            process = self._process = _start_process()
        with process:
            assert process.stdin is not None, "it is a pipe"  # noqa: S101
            assert process.stdout is not None, "it is a pipe"  # noqa: S101
            process.stdin.write(self._offer.to_line())
            for line in process.stdout:
                events.add(_report(line))
        if not self._stopping.is_set():
            logger.info(
                "The attach's process ended, and is started again",
                extra={"action": "attach_ended", "exit_code": process.returncode},
            )


def _start_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps(sys.path)],
        # Each arena of the allocator reserves address space, which is what the process is limited in.
        env={"TZ": "UTC", "MALLOC_ARENA_MAX": "2"},
        cwd=os.sep,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _report(line: bytes) -> str:
    """Log what the process said; returns what happened."""
    event, reason = _parse(line)
    level, sentence = _SAYINGS[event]
    logger.log(level, sentence, extra={"action": f"attach_{event}", **({"reason": reason} if reason else {})})
    return event


def _parse(line: bytes) -> tuple[str, str | None]:
    try:
        said: dict[str, Any] = json.loads(line)
        if said["event"] in _SAYINGS:
            return said["event"], said.get("reason")
    except (ValueError, TypeError, KeyError):
        pass
    # What the interpreter or the engine writes when it ends on its own.
    return "failed", line.decode("utf-8", "replace").rstrip()
