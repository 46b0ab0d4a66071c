"""The embedded log as a process to which anything may happen, as `tests.logs.java_node` is for Apache Kafka."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.broker.log_process import LogProcess


class EmbeddedNode:
    """An embedded log that keeps its data and its port over restarts. Close it in the end."""

    name = "the embedded log"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = LogProcess(folder)
        self._is_running = True

    @property
    def address(self) -> str:
        """Where it is."""
        return self._process.address

    def start(self) -> None:
        """Start it, with what it had when it last ran; returns when it takes connections."""
        if not self._is_running:
            self._process = LogProcess(self._folder, port=self._process.port)
            self._is_running = True

    def pause(self) -> None:
        """Stop its process as SIGSTOP does."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._is_running = False

    def close(self) -> None:
        """End it."""
        if self._is_running:
            self.kill()
