"""What a server's answer means for a download, decided in one place."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import httpx

from streams.recordings.errors import KeyRefused, NotYet, RecordingUnobtainable, ServerTroubled
from streams.retries import read_retry_after

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NOT_READY: Final = {
    202: "it is still being processed",
    204: "an empty answer",
    206: "a part that was not asked for",
    404: "it is not there yet",
    408: "it took too long",
    409: "it is still being processed",
    425: "it is too early",
    429: "too many requests",
}


def check_answer(response: httpx.Response, *, max_bytes: int, now: datetime) -> None:
    """Return if the recording may follow.

    :raises NotYet: any answer after which it may be had later.
    :raises RecordingUnobtainable: any answer after which it will not.
    """
    status = response.status_code
    if status == 200:
        _check_length(response, max_bytes)
    elif status in {400, 401, 403}:
        raise KeyRefused(f"{response.request.url.host} refused the request (HTTP {status}).")
    elif status in _NOT_READY or status >= 500 or status < 400:
        words = _NOT_READY.get(status, "the server is in trouble" if status >= 500 else "no recording")
        retry_after_s = read_retry_after(response.headers.get("retry-after"), now=now)
        kind = ServerTroubled if status == 429 or status >= 500 else NotYet
        raise kind(f"The vendor answered HTTP {status}: {words}.", retry_after_s=retry_after_s)
    elif status == 410:
        raise RecordingUnobtainable("The vendor has deleted the recording (HTTP 410).")
    else:
        raise RecordingUnobtainable(f"The vendor answered HTTP {status}.")


def check_start(head: bytes) -> None:
    """Say what a body is that does not begin as a WAV file does.

    :raises NotYet: always.
    """
    first = head.lstrip()[:1]
    if not head:
        raise NotYet("The vendor sent an empty body.")
    if first in {b"{", b"["}:
        raise ServerTroubled("The vendor sent JSON in place of audio.")
    if first == b"<":
        raise ServerTroubled("The vendor sent a web page in place of audio.")
    raise NotYet("The vendor sent something that is no WAV file.")


def declared_length(response: httpx.Response) -> int | None:
    """The body's length, if the server said it."""
    text = response.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def has_known_end(response: httpx.Response) -> bool:
    """Whether a body that was cut off would be noticed; otherwise the end of the connection is its only end."""
    return declared_length(response) is not None or "chunked" in response.headers.get("transfer-encoding", "")


def _check_length(response: httpx.Response, max_bytes: int) -> None:
    length = declared_length(response)
    if length is not None and length > max_bytes:
        raise too_large(max_bytes)


def too_large(max_bytes: int) -> RecordingUnobtainable:
    """What to raise for a recording above the limit."""
    return RecordingUnobtainable(
        f"The recording is larger than {max_bytes} bytes, the limit that POSTCALL_RECORDING_MAX_BYTES sets."
    )
