"""A model server that costs next to nothing: it answers every chat completion alike, after so many seconds.

    python -m bench.model_stub LATENCY_S

prints its port, and ends with its parent's end of the pipe. It reads of a request only where it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final, cast

import orjson
import uvloop

_RESULT: Final[dict[str, Any]] = {
    "summary": "The caller's boiler leaks. A visit was arranged.",
    "intent": "booking",
    "follow_ups": [],
    "customer_name": None,
    "sentiment": "neutral",
}


def _answer() -> bytes:
    message = {"role": "assistant", "content": orjson.dumps(_RESULT).decode(), "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 1000, "completion_tokens": 200}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [choice]}
    content = orjson.dumps(body | {"usage": usage})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class _Connection(asyncio.Protocol):
    """One request after the other, as the client keeps the connection."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._received = bytearray()
        self._answer = _answer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class is none of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        if blank and len(body) >= int(length.partition(b":")[2]):
            self._received.clear()
            asyncio.get_running_loop().call_later(self._latency_s, self._reply)

    def _reply(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)


@contextlib.contextmanager
def running_stub(latency_s: float) -> Iterator[str]:
    """The stub's base URL, for `OPENAI_BASE_URL`; it is a process of its own."""
    command = [sys.executable, "-m", "bench.model_stub", str(latency_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()


async def main(latency_s: float) -> None:
    """Serve."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
