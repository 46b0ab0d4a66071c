"""From a webhook to the row that live SQL shows: the whole pipeline under a steady load.

    python -m bench.latency [--log kafka] [--rate 100] [--seconds 20] [--rounds 3] [--show-cpu]

The real pipeline runs on free ports in a new directory. Signed `session.end` webhooks of 3 kB come in at a steady rate,
whether or not the ones before are answered, while one client asks live SQL again and again which sessions are there.
A latency ends with the first answer that holds the session; nothing is subtracted, so it includes the poll, whose
resolution (between two answers) is printed beside it. A client on the machine itself takes its share of the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import uvloop
from aiokafka import TopicPartition

from bench.ingest import SECRET, make_request
from bench.logs import add_log_option, open_logs
from postcall.kafka import open_consumer
from postcall.log_connection import LogConnection
from postcall.pipeline import run_pipeline
from postcall.settings import Configuration
from postcall.topics import EVENTS, WEBHOOKS

_WARM_UP_S = 3
# A query takes 50 ms of a core and more: asked without a pause, they alone would fill one.
_POLL_PAUSE_S = 0.1
_PATIENCE_S = 60.0
_PARTITIONS = 4
_TURNS = 20
_SEEN = "SELECT session_id FROM sessions WHERE session_id >= ?"


@dataclass(kw_only=True)
class Timings:
    """When what happened, by session id, in seconds since the epoch, as the log's own timestamps are."""

    sent: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    received: dict[str, float] = field(default_factory=dict)
    normalized: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    polls: list[tuple[float, float]] = field(default_factory=list)


class Door:
    """Posts prepared requests over connections that are kept."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname, address.port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, request: bytes) -> None:
        """Post one, and wait for the 200."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(len(b"OK"))
        self._idle.append((reader, writer))

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()


async def post_steadily(door: Door, names: Sequence[str], rate: float, timings: Timings) -> None:
    """Post a delivery for each session, each at its time."""
    begin = time.time() + 0.1
    async with asyncio.TaskGroup() as posts:
        for number, name in enumerate(names):
            await asyncio.sleep(begin + number / rate - time.time())
            posts.create_task(_post(door, name, timings))


async def _post(door: Door, name: str, timings: Timings) -> None:
    request = make_request(_ended_session(name))
    timings.sent[name] = time.time()
    await door.post(request)
    timings.answered[name] = time.time()


def _ended_session(name: str) -> dict[str, object]:
    turns = [
        {
            "role": ("assistant", "user")[turn % 2],
            "text": f"This is turn {turn} of a call about a boiler that leaks, at some length.",
            "timestamp": 1770110042117 + 7000 * turn,
        }
        for turn in range(_TURNS)
    ]
    return {
        "type": "session.end",
        "session_id": name,
        "conversation_id": f"conversation-{name}",
        "agent_id": "agent-1",
        "started_at": "2026-02-03T09:14:02.117Z",
        "ended_at": "2026-02-03T09:16:20.940Z",
        "duration": 138823,
        "recording_status": "enabled",
        "transcript": turns,
    }


async def watch_sql(url: str, names: Sequence[str], timings: Timings) -> None:
    """Ask live SQL for the sessions until it has shown them all."""
    missing = set(names)
    deadline = time.time() + len(names) + _PATIENCE_S
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=_PATIENCE_S) as client:
        while missing:
            assert time.time() < deadline, f"{len(missing)} sessions never came"
            asked_at = time.time()
            answer = await client.post("/v1/sql", json={"sql": _SEEN, "parameters": [min(missing)]})
            answered_at = time.time()
            timings.polls.append((asked_at, answered_at))
            for name in missing & {row["session_id"] for row in answer.raise_for_status().json()["rows"]}:
                timings.seen[name] = answered_at
                missing.discard(name)
            await asyncio.sleep(_POLL_PAUSE_S)


async def read_timestamps(log: LogConnection, timings: Timings) -> None:
    """When the log was given each delivery and each event, as its records say."""
    for topic, times in ((WEBHOOKS.name, timings.received), (EVENTS.name, timings.normalized)):
        places = [TopicPartition(topic, number) for number in range(_PARTITIONS)]
        async with open_consumer(log) as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    times.update({record.key.decode(): record.timestamp / 1000 for record in records})


async def run_round(
    rate: float, seconds: float, timings: Timings, *, kafka: LogConnection | None, show_cpu: bool
) -> list[str]:
    """Run a pipeline under load; returns the sessions that count."""
    with tempfile.TemporaryDirectory() as directory:
        ports = {"port": 0, "private_port": 0, "broker_port": 0}
        configuration = Configuration(
            flags={"data_dir": Path(directory), "host": "127.0.0.1", "kafka": kafka and str(kafka)} | ports,
            environment={
                "LAYERCODE_WEBHOOK_SECRET": SECRET,
                "POSTCALL_LOG_LEVEL": "WARNING",
                "POSTCALL_PARTITIONS": str(_PARTITIONS),
            },
        )
        async with run_pipeline(configuration) as pipeline:
            door = Door(pipeline.instance.ingest)
            warm_up = [f"session-0-{number:06}" for number in range(int(rate * _WARM_UP_S))]
            names = [f"session-1-{number:06}" for number in range(int(rate * seconds))]
            await _together(
                post_steadily(door, warm_up, rate, Timings()), watch_sql(pipeline.instance.private, warm_up, Timings())
            )
            cpu_s, began = _cpu_by_process(), time.time()
            await _together(
                post_steadily(door, names, rate, timings), watch_sql(pipeline.instance.private, names, timings)
            )
            if show_cpu:
                _print_cpu(cpu_s, _cpu_by_process(), time.time() - began)
            door.close()
            await read_timestamps(pipeline.log, timings)
    return names


async def _together(*parts: Awaitable[None]) -> None:
    await asyncio.gather(*parts)


def _cpu_by_process() -> dict[str, float]:
    """CPU seconds of this process and all below it, by command; Linux only."""
    parents: dict[int, int] = {}
    cpu_s: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu_s[int(path.parent.name)] = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        parents[int(path.parent.name)] = int(fields[1])
    totals: defaultdict[str, float] = defaultdict(float)
    # All that is not idle or waiting for a disk; below it is brought down to what the others take.
    machine = [int(word) for word in Path("/proc/stat").read_text("ascii").split("\n")[0].split()[1:9]]
    totals[_OTHERS] = (sum(machine) - machine[3] - machine[4]) / os.sysconf("SC_CLK_TCK")
    for process, seconds in cpu_s.items():
        if os.getpid() in _ancestors(process, parents):
            totals[_name_of(process)] += seconds
            totals[_OTHERS] -= seconds
    return totals


def _ancestors(process: int, parents: dict[int, int]) -> Iterator[int]:
    while process in parents:
        yield process
        process = parents[process]


def _name_of(process: int) -> str:
    if process == os.getpid():
        return "this client"
    command = Path(f"/proc/{process}/cmdline").read_text("utf-8", "replace").split("\0")
    return " ".join(word for word in command if word in _SERVICES) or "other"


# A query's process is gone before it can be counted.
_OTHERS = "queries and everything else"
_SERVICES = {"broker", "ingest", "streams", "projections", "normalize", "plan", "recordings", "insights"}


def _print_cpu(before: dict[str, float], after: dict[str, float], seconds: float) -> None:
    shares = {name: (after[name] - before.get(name, 0.0)) / seconds for name in after}
    told = (f"{name} {share:.0%}" for name, share in sorted(shares.items(), key=lambda each: -each[1]))
    print(f"  cores in use {sum(shares.values()):.2f}: {', '.join(told)}")


def show(timings: Timings, names: Sequence[str]) -> tuple[float, float]:
    """Print one round; returns p50 and p99 from the post to the row."""
    hops = {
        "post sent -> row seen": (timings.sent, timings.seen),
        "200 received -> row seen": (timings.answered, timings.seen),
        "  post sent -> in webhooks": (timings.sent, timings.received),
        "  in webhooks -> in events": (timings.received, timings.normalized),
        "  in events -> row seen": (timings.normalized, timings.seen),
        "  (post sent -> 200)": (timings.sent, timings.answered),
    }
    for hop, (begins, ends) in hops.items():
        _print_spread(hop, [ends[name] - begins[name] for name in names])
    _print_spread("  (a query alone)", [answered - asked for asked, answered in timings.polls])
    pairs = itertools.pairwise(answered for _, answered in timings.polls)
    _print_spread("  (between two answers)", [after - before for before, after in pairs])
    total = sorted(timings.seen[name] - timings.sent[name] for name in names)
    return _percentile(total, 50), _percentile(total, 99)


def _print_spread(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    shown = "   ".join(f"p{part} {_percentile(ordered, part) * 1000:6.0f}" for part in (50, 90, 99))
    print(f"  {name:30} {shown}   max {ordered[-1] * 1000:6.0f} ms")


def _percentile(ordered: Sequence[float], part: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * part // 100)]


@contextlib.contextmanager
def _kafka(kind: str) -> Iterator[LogConnection | None]:
    """An empty Apache Kafka; None = the pipeline starts its embedded log itself."""
    if kind == "embedded":
        yield None
        return
    with open_logs(kind) as empty_log, empty_log() as log:
        yield log


def main() -> None:
    """Measure some rounds, and print each and the spread of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--rate", type=float, default=100, help="webhooks a second")
    parser.add_argument("--seconds", type=float, default=20, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="each with a pipeline of its own")
    parser.add_argument("--show-cpu", action="store_true", help="print what each process takes of a core (Linux)")
    options = parser.parse_args()
    results = []
    for number in range(options.rounds):
        timings = Timings()
        load = os.getloadavg()[0]
        print(f"round {number + 1}: load of the machine {load:.1f} on {os.cpu_count()} cores", flush=True)
        with _kafka(options.log) as kafka:
            names = uvloop.run(
                run_round(options.rate, options.seconds, timings, kafka=kafka, show_cpu=options.show_cpu)
            )
        results.append(show(timings, names))
    print(f"{options.rate:g} webhooks/s, post sent -> row seen, {options.rounds} rounds (to reach: p50 300, p99 1000):")
    for name, values in zip(("p50", "p99"), zip(*results, strict=True), strict=True):
        spread = (min(values), statistics.median(values), max(values))
        print("  {}  min {:.0f}   median {:.0f}   max {:.0f} ms".format(name, *(value * 1000 for value in spread)))


if __name__ == "__main__":
    main()
