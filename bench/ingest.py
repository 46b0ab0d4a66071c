"""Signed webhooks of 3 kB, acknowledged by the log, against the same server with HMAC only and no log.

    python -m bench.ingest [--log kafka] [--requests 10000]

Both servers are measured in turn, several rounds in one run, so that the ratio holds on any machine. Client, log and
server are processes of their own; on two cores client and log share one, so the server's own time per request is
printed beside the throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import orjson
import uvloop
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bench.logs import add_log_option, open_logs

SECRET = "whsec_bench"  # noqa: S105 - made up for this run
BODIES = 500


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One round of one server."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    server_us: float


class HmacOnly:
    """What the door's endpoint would be if it verified and did nothing else."""

    def __init__(self) -> None:
        from postcall.settings import Configuration  # noqa: PLC0415 - as above
        from postcall.sources import load_verifiable_sources  # noqa: PLC0415 - in the server's process only

        environment = {"LAYERCODE_WEBHOOK_SECRET": SECRET}
        self._source = load_verifiable_sources(Configuration(environment=environment))["layercode"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from ingest.bodies import read_body  # noqa: PLC0415 - as above

        body = await read_body(receive, max_bytes=10**7, deadline_s=30, hold=lambda _: None)
        self._source.verify(body, Headers(scope=scope), agent_id=None, now=datetime.now(UTC))
        await Response(b"OK", media_type="text/plain")(scope, receive, send)


async def serve_hmac_only(listener: socket.socket) -> None:
    """Serve the yardstick."""
    from ingest.server import serve_application  # noqa: PLC0415 - as above

    application = Starlette(routes=[Route("/webhooks/{source}", HmacOnly())])
    async with serve_application(application, listener):
        await asyncio.Event().wait()


@dataclass
class Service:
    """A server under test."""

    process: subprocess.Popen[bytes]
    port: int

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def start(code: str, *arguments: str) -> Iterator[Service]:
    """Run Python code that serves on the listener of which it is told the descriptor."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        command = [sys.executable, "-c", code, "--listen-fd", str(listener.fileno()), *arguments]
        environment = {**os.environ, "LAYERCODE_WEBHOOK_SECRET": SECRET, "POSTCALL_LOG_LEVEL": "WARNING"}
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], env=environment)
        try:
            yield Service(process=process, port=listener.getsockname()[1])
        finally:
            process.terminate()
            process.wait(timeout=30)


HMAC_ONLY = """
import socket, sys, uvloop
from bench.ingest import serve_hmac_only
uvloop.run(serve_hmac_only(socket.socket(fileno=int(sys.argv[2]))))
"""
INGEST = "from ingest.commands import commands; commands()"


def make_requests() -> list[bytes]:
    """Signed deliveries of about 3 kB, each of its own session."""
    turns = [
        {
            "role": ("assistant", "user")[n % 2],
            "text": "And that would be Tuesday. " * 3,
            "timestamp": 1770110043500 + n,
        }
        for n in range(20)
    ]
    return [make_request({"type": "session.end", "session_id": f"s{n}", "transcript": turns}) for n in range(BODIES)]


def make_request(payload: dict[str, object]) -> bytes:
    body = orjson.dumps(payload)
    timestamp = str(int(time.time()))
    digest = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/layercode HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"layercode-signature: t={timestamp},v1={digest}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One connection: a request, its answer (`OK`), the next request."""

    def __init__(self, requests: Iterator[bytes], latencies_s: list[float]) -> None:
        self.done = asyncio.Event()
        self._answer = b""
        self._requests, self._latencies_s = requests, latencies_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"\r\n\r\nOK"):
            return
        self._answer = b""
        self._latencies_s.append(time.perf_counter() - self._sent_at)
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the count of latencies tells
        self.done.set()

    def _send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def _itself(client: Client) -> Client:
    return client


async def load(port: int, total: int, connections: int) -> list[float]:
    """Post `total` deliveries over some connections; returns the latencies."""
    bodies = make_requests()
    requests = (bodies[n % BODIES] for n in range(total))
    latencies_s: list[float] = []
    loop = asyncio.get_running_loop()
    clients = [Client(requests, latencies_s) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(partial(_itself, client), "127.0.0.1", port)
    await asyncio.gather(*(client.done.wait() for client in clients))
    return latencies_s


def measure(service: Service, total: int, connections: int) -> Measurement:
    cpu_s, started_s = service.cpu_s(), time.perf_counter()
    latencies_s = sorted(uvloop.run(load(service.port, total, connections)))
    elapsed_s, cpu_s = time.perf_counter() - started_s, service.cpu_s() - cpu_s
    assert len(latencies_s) == total
    return Measurement(
        requests_per_s=total / elapsed_s,
        p50_ms=latencies_s[total // 2] * 1000,
        p99_ms=latencies_s[total * 99 // 100] * 1000,
        server_us=cpu_s / total * 1e6,
    )


def show(name: str, rounds: list[Measurement]) -> Measurement:
    """Print a server's medians, and return them."""
    median = Measurement(
        **{field: statistics.median(getattr(each, field) for each in rounds) for field in Measurement.__annotations__}
    )
    print(
        f"{name:<12}{median.requests_per_s:>9,.0f} requests/s   p50 {median.p50_ms:5.1f} ms   "
        f"p99 {median.p99_ms:5.1f} ms   server {median.server_us:4.0f} µs a request"
    )
    return median


def main() -> None:
    """Measure both servers and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_log_option(parser)
    parser.add_argument("--requests", type=int, default=10_000, help="a round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(stack.enter_context(open_logs(options.log))())
        logged = stack.enter_context(start(INGEST, "--kafka", str(log)))
        hmac_only = stack.enter_context(start(HMAC_ONLY))
        for service in (logged, hmac_only):
            measure(service, BODIES, options.connections)
        rounds = [
            (
                measure(hmac_only, options.requests, options.connections),
                measure(logged, options.requests, options.connections),
            )
            for _ in range(options.rounds)
        ]
    yardstick = show("HMAC only", [each for each, _ in rounds])
    result = show("into the log", [each for _, each in rounds])
    print(f"ratio of throughput {result.requests_per_s / yardstick.requests_per_s:.2f} (target 0.5)")
    print(f"ratio of the server's own time {yardstick.server_us / result.server_us:.2f}")


if __name__ == "__main__":
    main()
