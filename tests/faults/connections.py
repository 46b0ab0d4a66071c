"""Accepting connections that end with the block, whatever goes on in them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable


@contextlib.asynccontextmanager
async def accepting(
    listener: socket.socket, carry: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[None]:
    """Carry each connection to a listener, while the block runs."""
    connections: set[asyncio.Future[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = asyncio.ensure_future(carry(reader, writer))
        connections.add(carrying)
        carrying.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, sock=listener)
    try:
        yield
    finally:
        server.close()
        for carrying in connections:
            carrying.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
