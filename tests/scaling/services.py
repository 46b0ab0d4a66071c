"""The services as processes run one by one on one Kafka, as on several machines; here they share a data directory."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx

from tests.pipeline.processes import descendants_of, signal_all
from tests.streams.stage_process import StageProcess
from tests.waiting import eventually

_ADDRESS = re.compile(r"action=listening address=(\S+)")


class Service:
    """One service through its lives; it takes a free port at each."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], log_file: Path) -> None:
        self._arguments = arguments
        self._environment = environment
        self._log_file = log_file
        self._process: StageProcess | None = None
        #: Where it was last ready; while it starts again, nobody answers there.
        self.url = ""

    @property
    def process(self) -> StageProcess:
        """Its life now."""
        assert self._process is not None, "it was not started"
        return self._process

    @property
    def said(self) -> str:
        """What all its lives logged."""
        return self._log_file.read_text()

    def start(self) -> None:
        """Begin a life."""
        self._process = StageProcess(*self._arguments, log_file=self._log_file, environment=self._environment)

    async def until_ready(self) -> None:
        """Return once it says so to whoever asks over HTTP."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:

            async def is_ready() -> bool:
                assert not self.process.has_ended, self.process.logged[-2000:]
                found = _ADDRESS.search(self.process.logged)
                if found is None:
                    return False
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"http://{found[1]}/readyz")).status_code == 200:
                        self.url = f"http://{found[1]}"
                        return True
                return False

            await eventually(is_ready, timeout_s=60)

    def kill(self) -> None:
        """kill -9 of the process and everything that it started."""
        signal_all([self.process.pid, *descendants_of(self.process.pid)], signal.SIGKILL)
        self.process.collect()

    def pause(self) -> None:
        """Stop the process and all that it started, as a machine that sleeps would."""
        # Parents first: who watches over others must not take their sleep for silence.
        signal_all([self.process.pid, *descendants_of(self.process.pid)], signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        signal_all([self.process.pid, *descendants_of(self.process.pid)], signal.SIGCONT)

    async def stop(self) -> float:
        """Stop in order, by SIGTERM; returns the seconds that it took."""
        began_at_s = time.monotonic()
        os.kill(self.process.pid, signal.SIGTERM)
        await eventually(lambda: self.process.has_ended, timeout_s=20)
        assert self.process.stop() == 0, self.process.logged[-2000:]
        return round(time.monotonic() - began_at_s, 1)


@contextlib.contextmanager
def services(names: Iterable[str], data_dir: Path, environment: Mapping[str, str]) -> Iterator[dict[str, Service]]:
    """Services by their names, as in `streams-b`, started side by side; killed with the block."""
    members = {
        name: Service(
            "postcall", name.partition("-")[0], environment=environment, log_file=data_dir.with_name(f"{name}.log")
        )
        for name in names
    }
    try:
        for member in members.values():
            member.start()
        yield members
    finally:
        for member in members.values():
            member.kill()
