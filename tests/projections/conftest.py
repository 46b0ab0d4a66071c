"""A log with calls in it, a warehouse of calls, and the service as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from postcall.kafka import append, open_producer
from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from projections.query.runner import QueryRunner
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records

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


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[Callable[[str, Path], Service]]:
    """Start the service on a log and a data directory; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(log_address: str, data_dir: Path) -> Service:
        with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "service.log").open("ab") as output:
            number = listener.fileno()
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, "projections", "--listen-fd", str(number),
                 "--kafka", log_address, "--data-dir", str(data_dir)],
                pass_fds=[number],
                stderr=output,
                env={**os.environ, "POSTCALL_ENV_FILE": "", "POSTCALL_LOG_LEVEL": "DEBUG"},
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started.append(process)
        return Service(process=process, address=address)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


async def fill_log(log_address: str, calls: range) -> None:
    """Append every record of these calls."""
    await create_topics(LogConnection(log_address), TopicSettings(partitions=2))
    async with open_producer(LogConnection(log_address), linger_ms=5) as producer:
        await append(producer, make_records(calls))


@pytest.fixture(scope="session")
def warehouse() -> Iterator[Warehouse]:
    """A warehouse of thirty calls, only to be read."""
    warehouse = Warehouse(":memory:")
    apply_records(warehouse, number_records(make_records(range(30))))
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="session")
def runner(warehouse: Warehouse) -> Iterator[QueryRunner]:
    """Runs queries against that warehouse, under limits that no honest query meets on a busy machine."""
    runner = QueryRunner(lambda: warehouse, QuerySettings(sql_deadline_s=60.0, sql_memory_mb=512))
    yield runner
    runner.close()
