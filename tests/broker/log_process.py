"""The embedded log as a process of its own, to be killed and started again on the same data."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_COMMAND = (sys.executable, "-c", "from broker.commands import commands; commands(standalone_mode=False)")
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


class LogProcess:
    """One life of an embedded log."""

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        arguments = ("--data-dir", str(data_dir), "--port", str(port))
        self._process = subprocess.Popen([*_COMMAND, *arguments], stderr=subprocess.PIPE, text=True)
        self.address = self._read_address()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Its port, for the next life."""
        return int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self.collect()

    def stop(self) -> int:
        """End it in order, and return its exit status."""
        self._process.terminate()
        self.collect()
        return self._process.returncode

    def collect(self) -> str:
        """Wait for its end, and return what it logged."""
        return self._process.communicate(timeout=30)[1]

    def _read_address(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := _ADDRESS.search(line):
                return found.group()
        raise AssertionError("the embedded log did not start")


@contextlib.contextmanager
def running_log(data_dir: Path, *, port: int = 0) -> Iterator[LogProcess]:
    """An embedded log that is killed on leaving the context, unless it has ended."""
    log = LogProcess(data_dir, port=port)
    try:
        yield log
    finally:
        log.kill()


def start_refused(data_dir: Path) -> tuple[int, str]:
    """Try to start a log that cannot be; returns the exit status and what it said."""
    ended = subprocess.run(
        [*_COMMAND, "--data-dir", str(data_dir), "--port", "0"], capture_output=True, text=True, timeout=30, check=False
    )
    return ended.returncode, ended.stderr
