"""The network between our processes and the log: slow, lossy, or half open.

A node that names the proxy's port in `advertised.listeners` is reached through it only.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.faults.connections import accepting

_CHUNK_BYTES = 64 * 1024


@dataclass(kw_only=True)
class Direction:
    """One direction of all connections. What is held back is not lost: it arrives when it flows again."""

    delay_s: float = 0.0
    flows: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flows.set()


class Proxy:
    """Forwards connections to an address; use `open_proxy` to make one."""

    def __init__(self, address: str, *, target: str) -> None:
        self.address = address
        self.to_log = Direction()
        self.from_log = Direction()
        self._host, _, self._port = target.rpartition(":")
        self._open: set[asyncio.StreamWriter] = set()

    def slow_down(self, delay_s: float) -> None:
        """Let each chunk take so long, both ways; 0 = no more."""
        self.to_log.delay_s = self.from_log.delay_s = delay_s

    def drop_all(self) -> None:
        """Break every connection, in the middle of whatever it carries."""
        for writer in self._open:
            writer.transport.abort()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, until either side ends it."""
        try:
            log_reader, log_writer = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, log_writer}
        self._open |= ends
        pumps = {
            asyncio.create_task(_pump(reader, log_writer, self.to_log)),
            asyncio.create_task(_pump(log_reader, writer, self.from_log)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= ends
            for pump in pumps:
                pump.cancel()
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            await asyncio.sleep(direction.delay_s)
            await direction.flows.wait()
            writer.write(chunk)
            await writer.drain()


@contextlib.asynccontextmanager
async def open_proxy(listener: socket.socket, *, target: str) -> AsyncIterator[Proxy]:
    """A proxy on a listener, while the block runs."""
    proxy = Proxy("{}:{}".format(*listener.getsockname()), target=target)
    async with accepting(listener, proxy.forward):
        yield proxy
