"""The compose file's own services as processes: the image's command line, environment and healthcheck, relocated."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO

from tests.compose.compose_file import Service
from tests.compose.dockerfile import entrypoint_of, environment_of, read_stages
from tests.compose.relocation import Relocation
from tests.waiting import eventually

#: Where `postcall` and `python` are here.
_PROGRAMS = Path(sys.executable).parent


class Container:
    """A running service."""

    def __init__(self, service: Service, relocation: Relocation, workdir: Path, output: Path) -> None:
        image = read_stages()[-1]
        self.service = service
        self._relocation = relocation
        self._workdir = workdir
        self._output = output
        self._words = [*entrypoint_of(image), *service.command]
        # Nothing of this machine's environment, except where programs are.
        inside = {**environment_of(image), **service.environment}
        self._environment = relocation.environment(inside) | {"PATH": f"{_PROGRAMS}:{os.environ['PATH']}"}
        self._process: Process | None = None

    async def start(self) -> None:
        with self._output.open("wb") as output:
            self._process = await self._spawn(self._words, output=output)

    def run(self, words: Sequence[str]) -> str:
        """Run a command to its end as `docker compose exec` does, and return what it printed; blocks meanwhile."""
        ran = subprocess.run(
            self._relocation.words(words),
            env=self._environment, cwd=self._workdir, stdout=subprocess.PIPE, check=True, timeout=60, text=True,
        )  # fmt: skip
        return ran.stdout

    async def until_healthy(self, limit_s: float) -> None:
        """Return once the healthcheck's own command succeeds."""
        kind, *words = self.service.healthcheck
        assert kind == "CMD"

        async def is_healthy() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, self.said
            check = await self._spawn(words, output=asyncio.subprocess.DEVNULL)
            return await check.wait() == 0

        await eventually(is_healthy, timeout_s=limit_s)

    async def stop(self) -> int:
        """Stop it as Docker does; returns its exit code.

        :raises TimeoutError: it takes longer than the file grants.
        """
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), self.service.stop_grace_s)

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @property
    def said(self) -> str:
        """The end of its log."""
        return self._output.read_text()[-2000:]

    async def _spawn(self, words: Sequence[str], *, output: int | IO[bytes]) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._relocation.words(words),
            env=self._environment,
            cwd=self._workdir,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )


@contextlib.asynccontextmanager
async def running(service: Service, relocation: Relocation, folder: Path) -> AsyncIterator[Container]:
    """Run a service until it is healthy; what still runs at the end is killed."""
    workdir = folder / f"workdir-of-{service.name}"
    workdir.mkdir()
    container = Container(service, relocation, workdir, folder / f"{service.name}.log")
    await container.start()
    try:
        if service.name != "streams":
            await container.until_healthy(limit_s=60)
        yield container
    finally:
        await container.end()
