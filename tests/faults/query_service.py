"""The projections service as a process, with tight limits for queries, and what its queries' processes take."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).parents[2]
_BOOT: Final = "from projections.commands import commands; commands()"


@dataclass(frozen=True, kw_only=True)
class QueryService:
    """A running `postcall projections`, and a client of it."""

    pid: int
    client: httpx.AsyncClient

    async def ask(self, sql: str, **more: Any) -> httpx.Response:
        """What it answers to a statement."""
        return await self.client.post("/v1/sql", json={"sql": sql, **more})

    async def count_sessions(self) -> int:
        """Sessions, as its SQL says; -1 while it does not."""
        with contextlib.suppress(httpx.TransportError):
            response = await self.ask("SELECT count(*) AS n FROM sessions")
            if response.status_code == 200:
                return int(response.json()["rows"][0]["n"])
        return -1


@contextlib.asynccontextmanager
async def running_query_service(
    log_address: str, data_dir: Path, environment: dict[str, str]
) -> AsyncIterator[QueryService]:
    """The service on a log and a data directory."""
    process, address = _start(log_address, data_dir, environment)
    try:
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            yield QueryService(pid=process.pid, client=client)
    finally:
        process.kill()
        process.wait()


@dataclass
class PeakMemory:
    """The most memory that any process of a query has taken, and the process that they come from."""

    child_mb: float = 0.0
    nursery_mb: float = 0.0
    children: set[int] = field(default_factory=set)


@contextlib.asynccontextmanager
async def measured_queries(service: QueryService) -> AsyncIterator[PeakMemory]:
    """Watch the memory of the queries' processes; where there is no /proc, nothing is seen."""
    peak = PeakMemory()

    async def watch() -> None:
        while True:
            for nursery in _find_children(service.pid):
                for child in _find_children(nursery):
                    peak.children.add(child)
                    peak.child_mb = max(peak.child_mb, _peak_mb(child))
                    peak.nursery_mb = max(peak.nursery_mb, _peak_mb(nursery))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _find_children(pid: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text("latin-1").rpartition(")")[2].split()[1]) == pid:
                yield int(path.parent.name)


def _peak_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("latin-1").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _start(log_address: str, data_dir: Path, environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], str]:
    with socket.create_server(("127.0.0.1", 0)) as listener, (data_dir.parent / "service.log").open("wb") as output:
        number = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, "projections", "--listen-fd", str(number),
             "--kafka", log_address, "--data-dir", str(data_dir)],
            pass_fds=[number], stderr=output, cwd=ROOT,
            env={**os.environ, "POSTCALL_ENV_FILE": "", **environment},
        )  # fmt: skip
        return process, f"http://127.0.0.1:{listener.getsockname()[1]}"
