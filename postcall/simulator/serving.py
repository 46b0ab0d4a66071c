"""An ASGI application on a socket, inside an event loop that belongs to somebody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator

import uvicorn
from starlette.applications import Starlette

from postcall.simulator.errors import SimulatorError


@contextlib.asynccontextmanager
async def serving(application: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    """Serve while the block runs; the listener is closed at its end.

    :raises SimulatorError: the server ended before it served.
    """
    listener.setblocking(False)
    # Without it an answer takes 40 ms; asyncio sets it only on sockets that name their protocol, unlike this one.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(
        uvicorn.Config(
            application, lifespan="off", access_log=False, log_config=None, ws="none", timeout_graceful_shutdown=2
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    starting = asyncio.create_task(server.is_serving.wait())
    try:
        await asyncio.wait([task, starting], return_when=asyncio.FIRST_COMPLETED)
        if not server.is_serving.is_set():
            raise SimulatorError("The HTTP server ended before it served.")
        yield
    finally:
        starting.cancel()
        server.should_exit = True
        await task
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn as a guest: it leaves the process's signals alone and says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_serving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_serving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
