"""Reading a request's body as it streams in: capped in size and in time, byte for byte as it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from starlette.types import Receive

from ingest.errors import BodyTooLarge, ClientGone, EmptyBody, EncodedBody, RequestTooSlow


def check_body_headers(headers: Mapping[str, str], *, max_bytes: int) -> None:
    """Refuse what the headers already tell, before a byte of the body is read.

    :raises EncodedBody: the body is compressed.
    :raises BodyTooLarge: the body is announced as too large.
    """
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise EncodedBody
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)


async def read_body(receive: Receive, *, max_bytes: int, deadline_s: float, hold: Callable[[int], None]) -> bytes:
    """The whole body.

    :param hold: told of each piece before it is kept; may raise.
    :raises BodyTooLarge: as soon as it is.
    :raises RequestTooSlow: it is not complete after `deadline_s`, however steadily it trickles.
    :raises EmptyBody: there is none.
    :raises ClientGone: the client went away.
    """
    try:
        async with asyncio.timeout(deadline_s):
            body = await _receive_all(receive, max_bytes, hold)
    except TimeoutError:
        raise RequestTooSlow from None
    if not body:
        raise EmptyBody
    return body


async def _receive_all(receive: Receive, max_bytes: int, hold: Callable[[int], None]) -> bytes:
    received = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        hold(len(piece))
        if len(received) + len(piece) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(received + piece) if received else piece
        received += piece


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
