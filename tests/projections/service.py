"""The projections service as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

_BOOT = "from projections.commands import commands; commands()"


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running `postcall projections`."""

    process: subprocess.Popen[bytes]
    address: str

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def count(self, table: str) -> int:
        """Rows of a table, as live SQL says; -1 while it does not."""
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(base_url=self.address, timeout=20) as client:
                response = await client.post("/v1/sql", json={"sql": f"SELECT count(*) AS n FROM {table}"})  # noqa: S608
            if response.status_code == 200:
                return int(response.json()["rows"][0]["n"])
        return -1

    async def readiness(self) -> dict[str, Any]:
        """What `/readyz` says; nothing while it does not answer."""
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(base_url=self.address, timeout=20) as client:
                facts: dict[str, Any] = (await client.get("/readyz")).json()
                return facts
        return {}

    async def is_ready(self) -> bool:
        """Whether it follows the log."""
        return (await self.readiness()).get("status") == "ready"


class StartService(Protocol):
    """Starts the service on a log and a data directory."""

    def __call__(self, log_address: str, data_dir: Path, **environment: str) -> Service: ...


@contextlib.contextmanager
def starting_services(folder: Path) -> Iterator[StartService]:
    """Services that say in `service.log` of a folder what they have to say; killed with the block."""
    started: list[subprocess.Popen[bytes]] = []

    def start(log_address: str, data_dir: Path, **environment: str) -> Service:
        with socket.create_server(("127.0.0.1", 0)) as listener, (folder / "service.log").open("ab") as output:
            number = listener.fileno()
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, "projections", "--listen-fd", str(number),
                 "--kafka", log_address, "--data-dir", str(data_dir)],
                pass_fds=[number],
                stderr=output,
                env={
                    **os.environ, "POSTCALL_ENV_FILE": "", "POSTCALL_LOG_LEVEL": "DEBUG",
                    "POSTCALL_PROJECTIONS_DIR": str(data_dir / "sql"), **environment,
                },
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started.append(process)
        return Service(process=process, address=address)

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.wait()
