"""uvicorn's HTTP connection with bounds that uvicorn leaves open: the size of a head, and the time it may take.

Left out: a client that reads its answer slowly is dropped by TCP alone, and idle connections are bounded by the
system's limit of open files. Bodies are bounded in `bodies.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ingest.answers import error_body, refusal_for
from ingest.errors import HeadTooLarge, MalformedRequest, RequestRefused, RequestTooSlow

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
HEAD_DEADLINE_S = 10.0


class BoundedConnection(HttpToolsProtocol):
    """One client's connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._refusal: RequestRefused = MalformedRequest()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """A client that connects and says nothing has as long as one that is slow."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives its connection."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what has come of a head that is not complete."""
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr] # None at first
            self._await_head()
        super().data_received(data)
        if self._head_deadline is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge())

    def on_headers_complete(self) -> None:
        """Check a head that came whole."""
        self._head_arrived()
        if len(self.headers) > MAX_HEADERS or self._head_size() > MAX_HEAD_BYTES:
            self._refusal = HeadTooLarge()
            # The parser stops at this, and uvicorn then calls `send_400_response`.
            raise self._refusal
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """Refuse what the parser stopped at."""
        self._refuse(self._refusal)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _await_head(self) -> None:
        if self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_DEADLINE_S, self._give_up)

    def _head_arrived(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
        self._head_deadline = None
        self._head_bytes = 0

    def _give_up(self) -> None:
        self._head_deadline = None
        if not self.transport.is_closing():
            self._refuse(RequestTooSlow())

    def _refuse(self, error: RequestRefused) -> None:
        self._head_arrived()
        refusal = refusal_for(error)
        body = error_body(refusal.status, refusal.code, str(error))
        self.transport.write(
            STATUS_LINE[refusal.status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()
