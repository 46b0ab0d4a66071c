"""An ASGI application on a listening socket, in an event loop and a process that belong to somebody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp


@contextlib.asynccontextmanager
async def serve_http(
    application: ASGIApp,
    listener: socket.socket,
    *,
    drain_s: int,
    on_end: Callable[[], None] = lambda: None,
    **options: Any,
) -> AsyncIterator[None]:
    """Serve while the block runs; then requests in flight have `drain_s` to be answered, and the listener is closed.

    :param on_end: called when the server has ended; if by itself, leave the block, which raises the cause.
    :param options: more of uvicorn's settings.
    """
    config = uvicorn.Config(
        application,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=drain_s,
        **options,
    )
    server = _Guest(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(lambda _: on_end())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Guest(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has some already."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
