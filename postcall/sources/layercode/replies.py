"""What Layercode expects in the 200. postcall listens and never speaks: turns are ended without a word."""

from __future__ import annotations

from typing import Any, Final

import orjson

from postcall.sources.base import Identity, Reply

#: `none` keeps proxies from compressing, and so from holding back, the stream.
SSE_HEADERS: Final = {
    "cache-control": "no-cache, no-transform",
    "connection": "keep-alive",
    "content-encoding": "none",
    "x-accel-buffering": "no",
}
_ACKNOWLEDGED: Final = Reply(content_type="text/plain; charset=utf-8", body=b"OK", headers={})
_EMPTY_OBJECT: Final = Reply(content_type="application/json", body=b"{}", headers={})


def reply_to(body: bytes, identity: Identity) -> Reply:
    """The answer to an event that has been stored; never raises."""
    if identity.event_type in {"message", "session.start"}:
        return _end_turn(body)
    return _EMPTY_OBJECT if identity.event_type == "data" else _ACKNOWLEDGED


def _end_turn(body: bytes) -> Reply:
    event: dict[str, Any] = {"type": "response.end"}
    turn_id = orjson.loads(body).get("turn_id")
    if isinstance(turn_id, str):
        event["turn_id"] = turn_id
    return Reply(content_type="text/event-stream", body=b"data: " + orjson.dumps(event) + b"\n\n", headers=SSE_HEADERS)
