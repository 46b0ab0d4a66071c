"""The door and the log as the processes that they are in service, to be stopped and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.ingest.doors import SECRET
from tests.waiting import eventually


class Service:
    """A process of postcall on a listener that outlives it, so that a restart loses no connection."""

    def __init__(self, command: str, listener: socket.socket, *options: str, **environment: str) -> None:
        self._command = command
        self._listener = listener
        self._options = options
        self._environment = {**os.environ, "POSTCALL_ENV_FILE": "", "POSTCALL_CONFIG": os.devnull, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return "{}:{}".format(*self._listener.getsockname())

    def start(self) -> None:
        code = f"from {self._command}.commands import commands; commands()"
        descriptor = str(self._listener.fileno())
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, "--listen-fd", descriptor, *self._options],
            pass_fds=[self._listener.fileno()],
            env=self._environment,
        )

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.send(signal.SIGKILL)
        self.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(timeout=30)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._listener.close()


def open_listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def make_broker(data_dir: Path) -> Service:
    return Service("broker", open_listener(), "--data-dir", str(data_dir))


def make_ingest(log_address: str, **environment: str) -> Service:
    return Service(
        "ingest", open_listener(), "--kafka", log_address, **{"LAYERCODE_WEBHOOK_SECRET": SECRET, **environment}
    )


async def until_ready(client: httpx.AsyncClient) -> None:
    async def is_ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await client.get("/readyz", timeout=5)).status_code == 200
        return False

    await eventually(is_ready, timeout_s=30)
