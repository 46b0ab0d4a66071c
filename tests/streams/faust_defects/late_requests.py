"""A log that takes its time to answer one kind of request, as a cluster does of which one node is slow.

All connections lead through here: the log's own address in its answers is replaced by this one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from tests.faults.connections import accepting

_HOST = "127.0.0.1"
#: The number of the request that asks for a group's committed offsets.
OFFSET_FETCH = 9
#: The one of a member that joins its group, once more at each rebalance.
JOIN_GROUP = 11


class LateProxy:
    """Forwards requests and answers one by one, and delays requests of one kind; see `late_proxy`."""

    def __init__(self, *, port: int, log_port: int) -> None:
        self.address = f"{_HOST}:{port}"
        #: How many of the requests that are to be late have come.
        self.late_requests = 0
        self._log_port = log_port
        self._log_place, self._own_place = (_HOST.encode() + number.to_bytes(4, "big") for number in (log_port, port))
        self._late_api: int | None = None
        self._delay_s: float | None = None
        self._released = asyncio.Event()

    def hold(self, api: int) -> None:
        """Keep back requests of this kind, and with each what follows on its connection, until `release`."""
        self._late_api, self._delay_s = api, None
        self._released.clear()

    def slow_down(self, api: int, delay_s: float) -> None:
        """Let each request of this kind take so long, one after the other; what was held goes on."""
        self._late_api, self._delay_s = api, delay_s
        self._released.set()

    def release(self) -> None:
        """Let all go on as it comes."""
        self._late_api = None
        self._released.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, until either side ends it."""
        try:
            log_reader, log_writer = await asyncio.open_connection(_HOST, self._log_port)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(self._carry_requests(reader, log_writer)),
            asyncio.create_task(self._carry_answers(log_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, log_writer):
                end.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _ended():
            while True:
                request = await _read_frame(reader)
                if int.from_bytes(request[4:6], "big") == self._late_api:
                    await self._be_late()
                writer.write(request)
                await writer.drain()

    async def _be_late(self) -> None:
        self.late_requests += 1
        if self._delay_s is None:
            await self._released.wait()
        else:
            await asyncio.sleep(self._delay_s)

    async def _carry_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _ended():
            while True:
                answer = await _read_frame(reader)
                writer.write(answer.replace(self._log_place, self._own_place))
                await writer.drain()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big"))


def _ended() -> contextlib.AbstractContextManager[None]:
    return contextlib.suppress(OSError, asyncio.IncompleteReadError)


@contextlib.asynccontextmanager
async def late_proxy(log: str) -> AsyncIterator[LateProxy]:
    """A proxy to a log, while the block runs."""
    with socket.create_server((_HOST, 0)) as listener:
        proxy = LateProxy(port=listener.getsockname()[1], log_port=int(log.rpartition(":")[2]))
        async with accepting(listener, proxy.carry):
            yield proxy
