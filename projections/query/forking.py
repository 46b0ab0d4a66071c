"""The service's handle on the nursery (see `nursery`): started once, started again should it have gone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from projections.errors import QueryError

_PID_BYTES: Final = 8
#: For the nursery to start and fork on a busy machine; one that is silent longer is replaced.
_PATIENCE_S: Final = 30.0
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from projections.query.nursery import main; main()"
)


class Forker:
    """Forks children for queries. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the nursery if it does not run."""
        with self._lock:
            self._ensure_started()

    def fork(self, connection: socket.socket) -> int:
        """Fork a child that serves this end of a socket pair; returns its process id.

        :raises QueryError: no process can be started.
        """
        with self._lock:
            for _ in range(2):
                control = self._ensure_started()
                with contextlib.suppress(OSError):
                    socket.send_fds(control, [b"!"], [connection.fileno()])
                    # So few bytes come at once or not at all.
                    reply = control.recv(_PID_BYTES)
                    if len(reply) == _PID_BYTES:
                        return int.from_bytes(reply, "big")
                self._end()
        raise QueryError("No process for the query could be started.")

    def stop(self) -> None:
        """End the nursery."""
        with self._lock:
            self._end()

    def _ensure_started(self) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self._process = _start_nursery(theirs)
                except BaseException:
                    ours.close()
                    raise
            ours.settimeout(_PATIENCE_S)
            self._control = ours
        return self._control

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _start_nursery(control: socket.socket) -> subprocess.Popen[bytes]:
    # It works in another folder than this process.
    search_path = [str(Path(entry).absolute()) for entry in sys.path]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-S", "-c", _BOOT, str(control.fileno()), json.dumps(search_path)],
        env={"ARROW_DEFAULT_MEMORY_POOL": "system", "TZ": "UTC"},
        cwd=os.sep,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        start_new_session=True,
    )
