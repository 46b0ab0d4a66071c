"""`postcall up` on a Kafka, with a simulated vendor: the real processes that faults happen to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from postcall.demo.settling import read_progress
from postcall.errors import PostcallError
from postcall.known_log.acceptance import read_held
from postcall.known_log.comparison import Finding
from postcall.lag import read_log_state
from postcall.log_connection import LogConnection
from postcall.private_api import PrivateApi
from postcall.simulator.vendor import Vendor
from postcall.supervisor import postcall_command
from tests.faults.ledger import SECRET, Ledger, Load
from tests.faults.vendor import API_KEY
from tests.ingest.processes import make_ingest, until_ready
from tests.pipeline.processes import descendants_of, signal_all
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

    def load(self, ledger: Ledger | None = None) -> Load:
        """Post the vendor's deliveries while the block runs; of those in the ledger no session once more."""
        return load_door(self.ingest, self.vendor, ledger or Ledger())

    def output(self) -> str:
        """What all processes have said so far."""
        return output_file(self.data_dir).read_text()

    def processes(self) -> set[int]:
        """The process ids of all services and stages."""
        return set(descendants_of(self.pid))

    @contextlib.contextmanager
    def readers_paused(self) -> Iterator[None]:
        """Stop all readers for the block, as a machine that sleeps would; they wake in the middle of what they did."""
        readers = [pid for pid, line in descendants_of(self.pid).items() if " postcall ingest" not in line]
        # Parents first: who watches over others must not take their sleep for silence.
        signal_all(readers, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_all(readers, signal.SIGCONT)

    def kill_all(self) -> None:
        """kill -9 of every process at once: an embedded log, too, and who watches over all."""
        # Parents first: who is dead starts nobody again.
        signal_all([self.pid, *descendants_of(self.pid)], signal.SIGKILL)

    def memory_mb(self) -> float:
        """What all services and stages hold in memory."""
        pids = ",".join(str(pid) for pid in self.processes())
        listing = subprocess.run(["ps", "-o", "rss=", "-p", pids], capture_output=True, text=True, check=True).stdout
        return sum(int(line) for line in listing.split()) / 1024

    async def until_held(self, *readers: str, timeout_s: float = 60.0) -> list[Finding]:
        """Return once just these readers stand still, with all that they hold against the log."""
        names = [reader if reader == "projections" else f"{reader}-0" for reader in readers]
        await eventually(lambda: sorted(names) == self.held_readers(), timeout_s=timeout_s)
        return [finding for held in read_held(self.data_dir) for finding in held.findings]

    def held_readers(self) -> list[str]:
        """The readers that stand still."""
        return sorted(held.reader for held in read_held(self.data_dir))

    async def accept_log(self) -> str:
        """`postcall log accept --yes`; returns what it printed."""
        process = await asyncio.create_subprocess_exec(
            *postcall_command("log", "accept", "--yes", "--data-dir", str(self.data_dir)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        await eventually(lambda: not self.held_readers())
        return out.decode()

    async def until_drained(self, *, timeout_s: float = 60.0) -> float:
        """Return once everything in the log was read and projected; says after how many seconds."""
        began_at_s = time.monotonic()
        was_drained = False

        async def is_drained() -> bool:
            nonlocal was_drained
            before, was_drained = was_drained, await self._has_read_all()
            # Twice in a row: between two looks a stage may have passed work on to the next one.
            return before and was_drained

        await eventually(is_drained, timeout_s=timeout_s)
        return round(time.monotonic() - began_at_s, 1)

    async def until_settled(self, *, timeout_s: float = 90.0) -> None:
        """Return once everything is read, done and projected: downloads and model calls, too."""
        was_settled = False

        async def is_settled() -> bool:
            nonlocal was_settled
            before, was_settled = was_settled, await self._has_done_all()
            # Twice in a row, as above.
            return before and was_settled

        await eventually(is_settled, timeout_s=timeout_s)

    async def _has_done_all(self) -> bool:
        with contextlib.suppress(PostcallError):
            return (await read_progress(self.api, self.log)).is_settled
        return False

    async def _has_read_all(self) -> bool:
        # The stages first: what they append meanwhile is unread then.
        with contextlib.suppress(PostcallError):
            stages = (await read_log_state(self.log)).stages
            return not sum(stage.lag for stage in stages) and not await self.api.unread()
        return False


def load_door(ingest_url: str, vendor: Vendor, ledger: Ledger) -> Load:
    """Post a vendor's deliveries while the block runs; of those in the ledger no session once more."""
    told = {request.delivery.session_id for request in ledger.requests}
    deliveries = [delivery for delivery in vendor.schedule.deliveries if delivery.session_id not in told]
    return Load(ingest_url, deliveries, before_send=vendor.sessions.advance, ledger=ledger)


@contextlib.asynccontextmanager
async def running_door(log_address: str) -> AsyncIterator[str]:
    """`postcall ingest` alone, and where it is: what it takes nobody reads."""
    door = make_ingest(log_address, LAYERCODE_WEBHOOK_SECRET=SECRET)
    with contextlib.closing(door):
        door.start()
        url = f"http://{door.address}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            await until_ready(client)
        yield url
        door.send(signal.SIGTERM)
        await asyncio.to_thread(door.wait)


@contextlib.asynccontextmanager
async def running_pipeline(
    log_address: str | None, data_dir: Path, vendor: Vendor, **environment: str
) -> AsyncIterator[Pipeline]:
    """`postcall up` that is up; stopped with the block, if it has not been killed.

    :param log_address: of a Kafka; None = it starts the embedded log itself.
    """
    async with _running_up(log_address, data_dir, {**_environment_for(vendor), **environment}) as pid:
        addresses = json.loads((data_dir / "postcall.json").read_text())
        async with PrivateApi(addresses["private"]) as api:
            yield Pipeline(
                pid=pid,
                data_dir=data_dir,
                ingest=addresses["ingest"],
                private=addresses["private"],
                log=LogConnection(addresses["log"]),
                api=api,
                vendor=vendor,
            )


def _environment_for(vendor: Vendor) -> dict[str, str]:
    return {
        "LAYERCODE_WEBHOOK_SECRET": SECRET,
        "LAYERCODE_API_KEY": API_KEY,
        "LAYERCODE_API_URL": vendor.api_url,
        "POSTCALL_ENV_FILE": "",
        "POSTCALL_CONFIG": os.devnull,
    }


def output_file(data_dir: Path) -> Path:
    """Where all processes of a pipeline say what they have to say."""
    return data_dir.with_suffix(".output")


@contextlib.asynccontextmanager
async def _running_up(log_address: str | None, data_dir: Path, environment: Mapping[str, str]) -> AsyncIterator[int]:
    log = ("--kafka", log_address) if log_address else ("--broker-port", "0")
    options = (*log, "--data-dir", str(data_dir), "--host", "127.0.0.1")
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
