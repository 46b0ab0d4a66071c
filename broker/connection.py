"""One client's connection: frames in, responses out, in the order of the requests.

Up to `_REQUESTS_UNDER_WAY` requests of a connection are worked on at once, so a client that pipelines is served by one
fsync. A client that does not read its responses is not read from either, so little is held for it.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.apis import api_versions
from broker.errors import BadFrame
from broker.groups import GroupCoordinator
from broker.log import Log
from broker.registry import Api, Call, Client, Registry

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: As Kafka's `socket.request.max.bytes`.
MAX_REQUEST_BYTES = 100 * 1024 * 1024
_REQUESTS_UNDER_WAY = 5
#: A request larger than this is answered before the next is read.
_LARGE_REQUEST_BYTES = 4 * 1024 * 1024
_HEADER = struct.Struct(">hhih")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    api_key: int
    version: int
    correlation_id: int
    client_id: str
    #: Where the body starts, or in a flexible version the header's tagged fields.
    end: int


class Connection:
    """Serves one client until either side closes."""

    def __init__(
        self,
        *,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        log: Log,
        groups: GroupCoordinator,
        registry: Registry,
    ) -> None:
        host, port = writer.get_extra_info("sockname")[:2]
        peer = writer.get_extra_info("peername")
        self._client = Client(
            connection_number=number, host=host, port=port, peer=f"{peer[0]}:{peer[1]}" if peer else "unknown"
        )
        self._reader = reader
        self._writer = writer
        self._log = log
        self._groups = groups
        self._registry = registry
        self._under_way: asyncio.Queue[asyncio.Task[bytes | None]] = asyncio.Queue(_REQUESTS_UNDER_WAY)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self) -> None:
        """Answer requests until the client is gone, breaks the protocol, or this is cancelled. The caller closes."""
        both_ways = {self._start(self._receive()), self._start(self._send())}
        try:
            done, _ = await asyncio.wait(both_ways, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._note_end(task.exception())
        finally:
            await self._end()

    def _start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at here, since nobody awaits what is left behind when the connection ends

    async def _receive(self) -> None:
        while True:
            frame = await _read_frame(self._reader)
            answering = self._start(self._answer(frame))
            await self._under_way.put(answering)
            if len(frame) > _LARGE_REQUEST_BYTES:
                await asyncio.wait({answering})

    async def _send(self) -> None:
        while True:
            response = await (await self._under_way.get())
            if response is not None:
                self._writer.write(response)
                await self._writer.drain()

    async def _answer(self, frame: bytes) -> bytes | None:
        header = _parse_header(frame)
        api = self._registry.find(header.api_key)
        if api is None:
            raise BadFrame(f"Request {header.api_key} is not answered by this log.")
        if not api.answers(header.version):
            return self._refuse_version(api, header)
        call = Call(
            version=header.version,
            client_id=header.client_id,
            client=self._client,
            log=self._log,
            groups=self._groups,
            registry=self._registry,
        )
        response = await api.handle(_decode_body(api, header, frame), call)
        return None if response is None else _encode(response, header.version, header.correlation_id)

    def _refuse_version(self, api: Api, header: _Header) -> bytes:
        if api.key != api_versions.API.key:
            raise BadFrame(f"Request {api.key} is not answered in version {header.version}.")
        return _encode(api_versions.refuse_version(self._registry), 0, header.correlation_id)

    def _note_end(self, error: BaseException | None) -> None:
        if error is None or isinstance(error, (EOFError, OSError)):
            return
        if isinstance(error, BadFrame):
            logger.warning(
                "Connection closed: %s", error, extra={"action": "connection_refused", "peer": self._client.peer}
            )
            return
        logger.error(
            "Connection closed by a bug",
            exc_info=error,
            extra={"action": "connection_failed", "peer": self._client.peer},
        )

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._groups.connection_lost(self._client.connection_number)


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big", signed=True)
    if not _HEADER.size <= size <= MAX_REQUEST_BYTES:
        raise BadFrame(f"A request of {size} bytes is none, or too large.")
    return await reader.readexactly(size)


def _parse_header(frame: bytes) -> _Header:
    api_key, version, correlation_id, client_id_bytes = _HEADER.unpack_from(frame)
    end = _HEADER.size + max(client_id_bytes, 0)
    if client_id_bytes < -1 or end > len(frame):
        raise BadFrame("A request's header is cut short.")
    client_id = frame[_HEADER.size : end].decode("utf-8", "replace")
    return _Header(api_key=api_key, version=version, correlation_id=correlation_id, client_id=client_id, end=end)


def _decode_body(api: Api, header: _Header, frame: bytes) -> Any:
    body = memoryview(frame)[header.end :]
    try:
        if api.request_type.flexible_version_q(header.version):
            body = _skip_tagged_fields(body)
        return api.request_type.decode(body, version=header.version)
    except Exception as error:  # the codec raises whatever the bytes lead to
        raise BadFrame(f"Request {api.key} in version {header.version} cannot be read.") from error


def _skip_tagged_fields(body: memoryview) -> memoryview:
    count, at = _read_varint(body, 0)
    for _ in range(count):
        _, at = _read_varint(body, at)
        size, at = _read_varint(body, at)
        at += size
    return body[at:]


def _read_varint(body: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadFrame("A number in a request is too long.")


def _encode(response: Any, version: int, correlation_id: int) -> bytes:
    response.API_VERSION = version
    response.with_header(correlation_id=correlation_id)
    encoded: bytes = response.encode(header=True, framed=True)
    return encoded
