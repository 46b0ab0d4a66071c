"""The one place where an error becomes an HTTP answer.

Every error has the same shape on all routes, that of `postcall.http_errors`, with `position` (in characters of the
statement, from 0) where the engine gave one.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from postcall.http_errors import INTERNAL_ERROR, error_body, router_code
from projections.errors import (
    ProjectionError,
    QueriesBusy,
    QueryCancelled,
    QueryError,
    QueryRefused,
    QueryTimedOut,
    QueryTooBig,
)


class RequestRefused(ProjectionError):
    """The request cannot be answered as it was made."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


_QUERY_STATUS: Final[dict[type[QueryError], int]] = {
    QueryError: 400,
    QueryRefused: 400,
    QueryTooBig: 400,
    QueryTimedOut: 504,
    QueriesBusy: 503,
    QueryCancelled: 503,
}
#: Answers hold what callers said: nobody on the way keeps them, and no browser guesses at them.
PRIVATE_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def refuse(error: Exception) -> Response:
    """The answer to a request that failed with `error`."""
    if isinstance(error, QueryError):
        return _error_response(_QUERY_STATUS[type(error)], error.code, str(error), position=error.position)
    if isinstance(error, RequestRefused):
        return _error_response(error.status, error.code, str(error))
    if isinstance(error, HTTPException):
        return _error_response(error.status_code, router_code(error), error.detail, headers=dict(error.headers or {}))
    return _error_response(*INTERNAL_ERROR)


def json_response(value: Any, *, status: int = 200) -> Response:
    """Any JSON answer."""
    return Response(orjson.dumps(value), status, PRIVATE_HEADERS, "application/json")


def _error_response(
    status: int, code: str, message: str, *, position: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    place = {} if position is None else {"position": position}
    extra = {"retry-after": "1"} if status == 503 else {"www-authenticate": "Bearer"} if status == 401 else {}
    return Response(
        error_body(status, code, message, **place),
        status,
        PRIVATE_HEADERS | (headers or {}) | extra,
        "application/json",
    )
