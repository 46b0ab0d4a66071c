"""The one place where an outcome becomes an HTTP answer.

Every error has the same shape on all routes, that of `postcall.http_errors`, and says nothing that a forger could learn
from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ingest.errors import (
    BodyTooLarge,
    DoorBusy,
    EmptyBody,
    EncodedBody,
    HeadTooLarge,
    MalformedRequest,
    RequestTooSlow,
    UnknownSource,
    UnsafeAgentId,
    WrongMethod,
)
from postcall.errors import LogUnavailable
from postcall.http_errors import INTERNAL_ERROR, error_body, router_code
from postcall.sources.base import Reply, SignatureRefused

RECEIPT_HEADER: Final = b"postcall-receipt"
#: Clients that can wait come back after this many seconds.
RETRY_AFTER_S: Final = 5

_RETRY: Final = {"retry-after": str(RETRY_AFTER_S)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """How one kind of error is answered; `message` None = the error's own words."""

    status: int
    code: str
    message: str | None = None
    headers: dict[str, str]


def _refusal(status: int, code: str, message: str | None = None, **headers: str) -> Refusal:
    return Refusal(status=status, code=code, message=message, headers=headers)


#: From exception to HTTP. The connection stays open even where the rest of a body is not wanted: closing it would
#: reset the answer away, and what comes is dropped, for as long as a next request's head may take.
REFUSALS: Final[dict[type[Exception], Refusal]] = {
    MalformedRequest: _refusal(400, "malformed_request"),
    UnsafeAgentId: _refusal(400, "unsafe_agent_id"),
    EmptyBody: _refusal(400, "empty_body"),
    SignatureRefused: _refusal(401, "signature_refused", "The signature was refused."),
    UnknownSource: _refusal(404, "unknown_source"),
    WrongMethod: _refusal(405, "wrong_method", allow="POST"),
    RequestTooSlow: _refusal(408, "too_slow", connection="close"),
    BodyTooLarge: _refusal(413, "body_too_large"),
    EncodedBody: _refusal(415, "encoded_body"),
    HeadTooLarge: _refusal(431, "head_too_large"),
    DoorBusy: _refusal(503, "busy", **_RETRY),
    LogUnavailable: _refusal(
        503, "log_unavailable", "The delivery was not stored, because the log does not answer. Send it again.", **_RETRY
    ),
}
_UNEXPECTED: Final = _refusal(*INTERNAL_ERROR)


def refuse(error: Exception) -> Response:
    """The answer to a request that failed with `error`."""
    if isinstance(error, HTTPException):
        return _error_response(error.status_code, router_code(error), error.detail, dict(error.headers or {}))
    refusal = refusal_for(error)
    return _error_response(refusal.status, refusal.code, refusal.message or str(error), refusal.headers)


def refusal_for(error: Exception) -> Refusal:
    """The table's line for an error; anything that is not in the table is a fault of ours."""
    return next((REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS), _UNEXPECTED)


def acknowledge(reply: Reply) -> Response:
    """The 200 that may be sent once a delivery is durable, as its vendor wants it."""
    return Response(reply.body, headers={"content-type": reply.content_type, **reply.headers})


def _error_response(status: int, code: str, message: str, headers: dict[str, str]) -> Response:
    return Response(
        error_body(status, code, message), status_code=status, headers=headers, media_type="application/json"
    )
