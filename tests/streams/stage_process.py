"""A stage as a process of its own, to be stopped or killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.waiting import eventually

_ROOT = Path(__file__).parents[2]


class StageProcess:
    """One life of a stage's process. What it logs is kept in `log_file`, life after life."""

    def __init__(self, *arguments: str, log_file: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log_file = log_file
        self._begin = log_file.stat().st_size if log_file.exists() else 0
        with log_file.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stderr=output,
                cwd=_ROOT,
                env={**os.environ, "POSTCALL_ENV_FILE": "", "POSTCALL_CONFIG": os.devnull, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def logged(self) -> str:
        """What this life logged."""
        return self._log_file.read_text()[self._begin :]

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself or otherwise."""
        return self._process.poll() is not None

    async def until_logged(self, words: str, *, timeout_s: float = 40.0) -> None:
        """Return once it has logged this."""
        await eventually(lambda: words in self.logged, timeout_s=timeout_s)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait(10)

    def stop(self, *, limit_s: float = 10.0) -> int:
        """End it in order, within the time that a supervisor gives; returns the exit status."""
        self._process.terminate()
        return self._process.wait(limit_s)

    def collect(self) -> None:
        """Make sure that it has ended."""
        if not self.has_ended:
            self.kill()


@contextlib.contextmanager
def stage_process(
    *arguments: str, log_file: Path, environment: Mapping[str, str] | None = None
) -> Iterator[StageProcess]:
    """A stage's process that has ended when the block ends."""
    process = StageProcess(*arguments, log_file=log_file, environment=environment)
    try:
        yield process
    finally:
        process.collect()
