"""The routes of the private port: `POST /v1/sql`, `POST /v1/replays/projections`, `/healthz`, `/readyz`."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal

import duckdb
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from postcall.errors import PostcallError
from projections.api.answers import PRIVATE_HEADERS, RequestRefused, json_response, refuse
from projections.api.guard import Guard
from projections.errors import ProjectionError
from projections.projector import Projector
from projections.query.runner import Answer, QueryRunner
from projections.rebuild import RebuildProgress

logger = logging.getLogger(__name__)

Rebuild = Callable[[], AsyncIterator[RebuildProgress]]
#: A request is a statement and its parameters.
MAX_REQUEST_BYTES: Final = 1024 * 1024
_MEDIA_TYPES: Final = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}


class SqlRequest(BaseModel):
    """The body of `POST /v1/sql`."""

    model_config = ConfigDict(extra="forbid")

    sql: str
    format: Literal["json", "csv", "arrow"] = "json"
    parameters: list[Any] | dict[str, Any] | None = None
    max_rows: int | None = Field(default=None, ge=1)


class PrivateApi:
    """The handlers, and what they need."""

    def __init__(self, *, runner: QueryRunner, projector: Projector, rebuild: Rebuild, instance: str | None) -> None:
        self._runner = runner
        self._projector = projector
        self._rebuild = rebuild
        self._rebuilding = asyncio.Lock()
        self._instance = instance

    async def run_sql(self, request: Request) -> Response:
        """Run a statement; the answer is streamed as the query's process writes it."""
        query = await _read_query(request)
        answer = await asyncio.to_thread(
            self._runner.run,
            query.sql,
            answer_format=query.format,
            parameters=query.parameters,
            max_rows=query.max_rows,
        )
        headers = {
            **PRIVATE_HEADERS,
            "postcall-row-count": str(answer.row_count),
            "postcall-truncated": str(answer.is_truncated).lower(),
        }
        return _AnswerResponse(answer, headers=headers, media_type=_MEDIA_TYPES[query.format])

    async def replay_projections(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """Make the warehouse again from the log; a line of JSON tells the progress every moment, the last the end."""
        if self._rebuilding.locked():
            raise RequestRefused(409, "replay_running", "The warehouse is being made again already.")
        return StreamingResponse(self._tell_rebuild(), media_type="application/x-ndjson")

    async def _tell_rebuild(self) -> AsyncIterator[bytes]:
        async with self._rebuilding:
            try:
                async for progress in self._rebuild():
                    if progress.is_done:
                        self._projector.reopen()
                    yield orjson.dumps(dataclasses.asdict(progress)) + b"\n"
            except (PostcallError, duckdb.Error, OSError) as error:
                logger.exception("Rebuild failed", extra={"action": "rebuild_failed"})
                yield orjson.dumps({"error": str(error)}) + b"\n"

    async def tell_health(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """The process lives."""
        return json_response({"status": "ok", "instance": self._instance})

    async def tell_readiness(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """SQL is answered from a warehouse that follows the log; `unread` says how far it is behind,
        `reason` why it is held."""
        status = await self._projector.read_status()
        is_ready = status.state == "reading"
        facts = {"status": "ready" if is_ready else status.state, "unread": status.unread, "instance": self._instance}
        if status.reason is not None:
            facts["reason"] = status.reason
        return json_response(facts, status=200 if is_ready else 503)


def build_application(api: PrivateApi, guard: Guard) -> ASGIApp:
    """The application, guarded."""
    routes = [
        Route("/v1/sql", api.run_sql, methods=["POST"]),
        Route("/v1/replays/projections", api.replay_projections, methods=["POST"]),
        Route("/healthz", api.tell_health),
        Route("/readyz", api.tell_readiness),
    ]
    handlers = dict.fromkeys((ProjectionError, HTTPException, Exception), _answer_error)
    return _Guarded(Starlette(routes=routes, exception_handlers=handlers), guard)


class _Guarded:
    """Lets the guard see a request before anything else does."""

    def __init__(self, application: ASGIApp, guard: Guard) -> None:
        self._application = application
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._guard.check(Request(scope))
            except RequestRefused as error:
                await refuse(error)(scope, receive, send)
                return
        await self._application(scope, receive, send)


class _AnswerResponse(StreamingResponse):
    """Streams an answer, and lets its process go whatever becomes of the client."""

    def __init__(self, answer: Answer, *, headers: dict[str, str], media_type: str) -> None:
        super().__init__(answer.chunks(), headers=headers, media_type=media_type)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


async def _answer_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as Starlette calls it
    return refuse(error)


async def _read_query(request: Request) -> SqlRequest:
    # A page of another origin can send a form or text here unasked, but not this.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused(415, "json_needed", 'Send JSON: Content-Type: application/json, {"sql": "…"}.')
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise RequestRefused(413, "request_too_large", f"A request may have {MAX_REQUEST_BYTES} bytes.")
    try:
        return SqlRequest.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise RequestRefused(400, "malformed_request", f"{where}: {first['msg']}") from None
