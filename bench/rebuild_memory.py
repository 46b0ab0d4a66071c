"""How much memory and time a rebuild of the warehouse takes, at one number of calls and at ten times as many.

    python -m bench.rebuild_memory [--log kafka] [--calls 100000 1000000] [--turns 18]

Each rebuild is `postcall replay projections`, a process of its own, on a log that has that many calls, of about 10 kB
each on disk. What is sampled is what that process holds of the machine's memory (RSS, Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.logs import add_log_option, open_logs
from postcall.kafka import append, open_producer
from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from tests.projections.calls import make_records

_CALLS_AT_ONCE: Final = 500
_SAMPLE_INTERVAL_S: Final = 0.5
_SHOWN_SAMPLES: Final = 20


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """What one rebuild took."""

    seconds: float
    cpu_seconds: float
    #: In the order in which they were taken.
    rss_mb: list[int]
    warehouse_mb: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--calls", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--turns", type=int, default=18)
    arguments = parser.parse_args()
    with open_logs(arguments.log) as empty_log, empty_log() as log:
        filled, first = 0, None
        for calls in sorted(arguments.calls):
            asyncio.run(_fill(log, range(filled, calls), arguments.turns))
            filled = calls
            with tempfile.TemporaryDirectory() as directory:
                rebuild = _rebuild(log, Path(directory))
            first = first or (calls, rebuild)
            _print(calls, rebuild, first)


def _print(calls: int, rebuild: Rebuild, first: tuple[int, Rebuild]) -> None:
    step = max(1, len(rebuild.rss_mb) // _SHOWN_SAMPLES)
    print(
        f"{calls} calls: {rebuild.seconds:.0f} s, {rebuild.cpu_seconds:.0f} s CPU, "
        f"peak {max(rebuild.rss_mb)} MB, warehouse {rebuild.warehouse_mb} MB"
    )
    print(f"  RSS in MB, from start to end: {' '.join(str(sample) for sample in rebuild.rss_mb[::step])}")
    if calls > first[0]:
        print(
            f"  against {first[0]} calls: {calls / first[0]:.0f} times the calls, "
            f"{rebuild.seconds / first[1].seconds:.1f} times the time (to reach: at most 1.05 times as many), "
            f"{max(rebuild.rss_mb) / max(first[1].rss_mb):.2f} times the memory (to reach: at most 1.10)",
            flush=True,
        )


async def _fill(log: LogConnection, calls: range, turns: int) -> None:
    await create_topics(log, TopicSettings(partitions=4))
    async with open_producer(log, linger_ms=5) as producer:
        for start in range(calls.start, calls.stop, _CALLS_AT_ONCE):
            numbers = range(start, min(calls.stop, start + _CALLS_AT_ONCE))
            await append(producer, make_records(numbers, turns=turns))


def _rebuild(log: LogConnection, data_dir: Path) -> Rebuild:
    command = [sys.executable, "-m", "postcall", "replay", "projections"]
    started_at_s = time.monotonic()
    with subprocess.Popen(
        [*command, "--kafka", str(log), "--data-dir", str(data_dir)], stderr=subprocess.DEVNULL
    ) as process:
        samples, cpu_seconds = [], 0.0
        while process.poll() is None:
            rss_mb, used_s = _sample(process.pid)
            if rss_mb:
                samples.append(rss_mb)
                cpu_seconds = used_s
            time.sleep(_SAMPLE_INTERVAL_S)
    if process.returncode != 0:
        raise SystemExit(f"the rebuild ended with {process.returncode}")
    size = sum(path.stat().st_size for path in data_dir.glob("warehouse-*.duckdb*"))
    return Rebuild(
        seconds=time.monotonic() - started_at_s, cpu_seconds=cpu_seconds, rss_mb=samples, warehouse_mb=size // 2**20
    )


def _sample(pid: int) -> tuple[int, float]:
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
        times = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0, 0.0
    rss_kb = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return rss_kb // 1024, (int(times[11]) + int(times[12])) / 100


if __name__ == "__main__":
    main()
