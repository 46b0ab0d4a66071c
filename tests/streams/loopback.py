"""An HTTP server on loopback that answers byte for byte as a test tells it, misbehaviour included."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

#: In place of an answer: say nothing, and keep the connection open.
SILENCE: Final = b""


@dataclass(frozen=True, kw_only=True)
class SeenRequest:
    """A request as it arrived; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class LoopbackServer:
    """Answers each path with its answers in turn, the last of them for ever; 404 for any other path."""

    port: int = 0
    scheme: str = "http"
    requests: list[SeenRequest] = field(default_factory=list)
    connections: int = 0
    _answers: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """`scheme://host:port`."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def answer(self, path: str, *answers: bytes) -> str:
        """Set the answers for a path; returns its URL."""
        self._answers[path] = list(answers)
        return self.origin + path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection."""
        self.connections += 1
        try:
            request = await read_request(reader)
            self.requests.append(request)
            answers = self._answers.get(request.path, [response(404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer == SILENCE:
                await reader.read()
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*, certificates: ssl.SSLContext | None = None) -> AsyncIterator[LoopbackServer]:
    """A server on a free port."""
    stub = LoopbackServer(scheme="https" if certificates else "http")
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, ssl=certificates)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()


def response(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """An answer with an honest Content-Length, unless `headers` gives another."""
    lines = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


def endless_response(body: bytes) -> bytes:
    """An answer whose end is the end of the connection."""
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


def chunked_response(*pieces: bytes, is_whole: bool = True) -> bytes:
    """An answer in chunks, with or without the last one."""
    chunks = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    end = b"0\r\n\r\n" if is_whole else b""
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + end


async def read_request(reader: asyncio.StreamReader) -> SeenRequest:
    """The next request of a connection.

    :raises IncompleteReadError: the client has hung up.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.strip().split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return SeenRequest(path=request_line.split(" ")[1], headers=headers, body=body)
