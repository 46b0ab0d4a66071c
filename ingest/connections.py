"""uvicorn's HTTP connection with bounds that uvicorn leaves open: the size of a head, and the time it may take.

Left out: a client that reads its answer slowly is dropped by TCP alone, and idle connections are bounded by the
system's limit of open files. Bodies are bounded in `bodies.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ingest.answers import refusal_for
from ingest.errors import HeadTooLarge, MalformedRequest, RequestRefused, RequestTooSlow
from postcall.http_errors import error_body


class BoundedConnection(HttpToolsProtocol):
    """One client's connection."""

    max_head_bytes = 64 * 1024
    max_headers = 100
    head_deadline_s = 10.0
    #: A refused client is listened to this much longer: closing at once would reset the answer away.
    linger_s = 2.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = False
        self._is_refused = False
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._refusal: RequestRefused = MalformedRequest()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """A client that connects and says nothing has as long as one that is slow."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives its connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what has come of a head that is not complete."""
        if self._is_refused:
            return
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr] # None at first
            self._await_head()
        super().data_received(data)
        if self._is_in_head and not self._is_refused:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        """From here on it is a head."""
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Check a head that came whole."""
        self._is_in_head = False
        self._stop_waiting()
        if len(self.headers) > self.max_headers or self._head_size() > self.max_head_bytes:
            self._refusal = HeadTooLarge()
            # The parser stops at this, and uvicorn then calls `send_400_response`.
            raise self._refusal
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The head that came behind this request has its time from now on."""
        super().on_response_complete()
        if self._is_in_head:
            self._await_head()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """Refuse what the parser stopped at."""
        self._refuse(self._refusal)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_deadline_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None

    def _give_up(self) -> None:
        if self._is_in_head:
            self._refuse(RequestTooSlow())
        else:
            # Nothing was asked, so nothing is answered.
            self.transport.close()

    def _refuse(self, error: RequestRefused) -> None:
        if self.transport.is_closing():
            return
        self._is_refused = True
        if self.cycle is not None:
            # An earlier request on this connection can be answered no more.
            self.cycle.disconnected = True
        self.transport.write(_render(error))
        self.transport.write_eof()
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.linger_s, self.transport.close)


def _render(error: RequestRefused) -> bytes:
    refusal = refusal_for(error)
    body = error_body(refusal.status, refusal.code, str(error))
    head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    return STATUS_LINE[refusal.status] + head + body
