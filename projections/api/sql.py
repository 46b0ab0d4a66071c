"""`POST /v1/sql`: a statement in, its rows out."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from projections.api.answers import PRIVATE_HEADERS, RequestRefused
from projections.query.runner import Answer, QueryRunner

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


class SqlApi:
    """People's SQL."""

    def __init__(self, *, runner: QueryRunner) -> None:
        self._runner = runner

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [Route("/v1/sql", self.run_sql, methods=["POST"])]

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
