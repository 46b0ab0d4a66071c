"""`postcall up` on a Kafka, with a simulated vendor: the real processes that faults happen to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from postcall.demo.settling import read_progress
from postcall.errors import PostcallError
from postcall.log_connection import LogConnection
from postcall.private_api import PrivateApi
from postcall.service import open_listener
from postcall.simulator.schedule import plan_schedule
from postcall.simulator.vendor import Vendor, api_url_of
from postcall.supervisor import postcall_command
from tests.faults.ledger import SECRET, Load
from tests.pipeline.processes import descendants_of
from tests.waiting import eventually


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A running pipeline, and ways to look at it."""

    pid: int
    data_dir: Path
    ingest: str
    private: str
    log: LogConnection
    api: PrivateApi
    vendor: Vendor

    def load(self, *, rate_per_s: float = 40.0, lanes: int = 24) -> Load:
        """Post the vendor's deliveries while the block runs."""
        return Load(
            self.ingest,
            self.vendor.schedule.deliveries,
            before_send=self.vendor.sessions.advance,
            rate_per_s=rate_per_s,
            lanes=lanes,
        )

    def output(self) -> str:
        """What all processes have said so far."""
        return output_file(self.data_dir).read_text()

    def processes(self) -> set[int]:
        """The process ids of all services and stages."""
        return set(descendants_of(self.pid))

    def memory_mb(self) -> float:
        """What all services and stages hold in memory."""
        pids = ",".join(str(pid) for pid in self.processes())
        listing = subprocess.run(["ps", "-o", "rss=", "-p", pids], capture_output=True, text=True, check=True).stdout
        return sum(int(line) for line in listing.split()) / 1024

    async def until_settled(self, *, timeout_s: float = 60.0) -> None:
        """Return once everything that was delivered has become what it will become."""
        settled_before = False

        async def is_settled() -> bool:
            nonlocal settled_before
            was_settled, settled_before = settled_before, False
            with contextlib.suppress(PostcallError):
                settled_before = (await read_progress(self.api, self.log)).is_settled
            # Twice in a row: between two looks a stage may have passed work on to the next one.
            return was_settled and settled_before

        await eventually(is_settled, timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def running_pipeline(log_address: str, data_dir: Path, *, calls: int, seed: int) -> AsyncIterator[Pipeline]:
    """`postcall up --kafka` that is up, and a vendor with so many calls to tell of; killed with the block."""
    listener = open_listener("127.0.0.1", 0)
    schedule = plan_schedule(calls, seed=seed, api_url=api_url_of(listener))
    async with (
        Vendor(schedule, api_key="key", listener=listener) as vendor,
        _running_up(log_address, data_dir, vendor) as pid,
    ):
        addresses = json.loads((data_dir / "postcall.json").read_text())
        async with PrivateApi(addresses["private"]) as api:
            yield Pipeline(
                pid=pid,
                data_dir=data_dir,
                ingest=addresses["ingest"],
                private=addresses["private"],
                log=LogConnection(log_address),
                api=api,
                vendor=vendor,
            )


def output_file(data_dir: Path) -> Path:
    """Where all processes of a pipeline say what they have to say."""
    return data_dir.with_suffix(".output")


@contextlib.asynccontextmanager
async def _running_up(log_address: str, data_dir: Path, vendor: Vendor) -> AsyncIterator[int]:
    options = ("--kafka", log_address, "--data-dir", str(data_dir), "--host", "127.0.0.1")
    environment = {
        "LAYERCODE_WEBHOOK_SECRET": SECRET,
        "LAYERCODE_API_KEY": "key",
        "LAYERCODE_API_URL": vendor.api_url,
        "POSTCALL_ENV_FILE": "",
        "POSTCALL_CONFIG": os.devnull,
    }
    with output_file(data_dir).open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *postcall_command("up", *options, "--port", "0", "--private-port", "0"),
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )
    try:

        def is_up() -> bool:
            assert process.returncode is None, output_file(data_dir).read_text()
            with contextlib.suppress(FileNotFoundError):
                return bool(json.loads((data_dir / "postcall.json").read_text())["pid"] == process.pid)
            return False

        await eventually(is_up, timeout_s=60)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
