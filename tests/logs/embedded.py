"""An embedded log in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from broker.server import serve


@contextlib.contextmanager
def embedded_log(data_dir: Path) -> Iterator[str]:
    """`127.0.0.1:PORT` of an embedded log; on leaving the context it is closed in order."""
    with socket.create_server(("127.0.0.1", 0)) as listener, log_in_thread(data_dir, listener):
        host, port = listener.getsockname()
        yield f"{host}:{port}"


@contextlib.contextmanager
def log_in_thread(data_dir: Path, listener: socket.socket) -> Iterator[None]:
    """Serve an embedded log from a thread of this process; on leaving the context it is closed in order."""
    ready = threading.Event()
    serving: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stopping = asyncio.Event()
        serving.append((asyncio.get_running_loop(), stopping))
        await serve(data_dir=data_dir, listener=listener, on_ready=ready.set, stopping=stopping)

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="embedded-log")
    thread.start()
    assert ready.wait(timeout=30), "the embedded log did not start"
    try:
        yield
    finally:
        loop, stopping = serving[0]
        loop.call_soon_threadsafe(stopping.set)
        thread.join(timeout=30)
        assert not thread.is_alive(), "the embedded log did not stop"
