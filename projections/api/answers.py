"""The one place where an error becomes an HTTP answer.

Every error has the same JSON shape on all routes: `{"error": {"status": 400, "code": "sql_refused", "message": "…"}}`,
with `position` (in characters of the statement, from 0) where the engine gave one.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from projections.errors import ProjectionError, QueriesBusy, QueryError, QueryRefused, QueryTimedOut, QueryTooBig


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
}
_ROUTER_CODES: Final = {404: "not_found", 405: "wrong_method"}


def refuse(error: Exception) -> Response:
    """The answer to a request that failed with `error`."""
    if isinstance(error, QueryError):
        return _error_response(_QUERY_STATUS[type(error)], error.code, str(error), position=error.position)
    if isinstance(error, RequestRefused):
        return _error_response(error.status, error.code, str(error))
    if isinstance(error, HTTPException):
        code = _ROUTER_CODES.get(error.status_code, "http_error")
        return _error_response(error.status_code, code, error.detail, headers=dict(error.headers or {}))
    return _error_response(500, "internal_error", "Something went wrong here; the log of this service says what.")


def json_response(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Any JSON answer."""
    kept = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(orjson.dumps(value), status, kept | (headers or {}), "application/json")


def _error_response(
    status: int, code: str, message: str, *, position: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    facts: dict[str, Any] = {"status": status, "code": code, "message": message}
    if position is not None:
        facts["position"] = position
    extra = {"retry-after": "1"} if status == 503 else {"www-authenticate": "Bearer"} if status == 401 else {}
    return json_response({"error": facts}, status=status, headers=(headers or {}) | extra)
