"""`POST /v1/sql`: a statement in, its rows out."""

from __future__ import annotations

import logging
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from projections.api.answers import PRIVATE_HEADERS
from projections.api.bodies import read_body
from projections.api.disconnects import run_while_connected
from projections.errors import QueryError
from projections.query.lanes import QueryLanes
from projections.query.runner import Answer, QueryRunner, Statement

logger = logging.getLogger(__name__)

_MEDIA_TYPES: Final = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


class SqlRequest(BaseModel):
    """The body of `POST /v1/sql`."""

    model_config = ConfigDict(extra="forbid")

    sql: str
    format: Literal["json", "csv", "arrow", "parquet"] = "json"
    parameters: list[Any] | dict[str, Any] | None = None
    max_rows: int | None = Field(default=None, ge=1)

    def to_statement(self) -> Statement:
        """The same for the runner."""
        return Statement(sql=self.sql, answer_format=self.format, parameters=self.parameters, max_rows=self.max_rows)


class SqlApi:
    """People's SQL."""

    def __init__(self, *, runner: QueryRunner) -> None:
        self._lanes = QueryLanes(runner)

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [Route("/v1/sql", self.run_sql, methods=["POST"])]

    async def run_sql(self, request: Request) -> Response:
        """Run a statement; the answer is streamed as the query's process writes it."""
        return _AnswerResponse((await read_body(request, SqlRequest)).to_statement(), self._lanes)


class _AnswerResponse(Response):
    """Runs a query and streams its answer, as long as the client is there."""

    def __init__(self, statement: Statement, lanes: QueryLanes) -> None:
        super().__init__(media_type=_MEDIA_TYPES[statement.answer_format], headers=PRIVATE_HEADERS)
        self._statement = statement
        self._lanes = lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        await run_while_connected(self._answer(send), receive)

    async def _answer(self, send: Send) -> None:
        async with self._lanes.answer(self._statement) as answer:
            self._tell(answer)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                async for chunk in self._lanes.read_chunks(answer):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except QueryError as error:
                # Too late to say it: fewer bytes than announced tell the client.
                logger.warning("Answer was cut off: %s", error, extra={"action": "answer_cut_off", "code": error.code})
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _tell(self, answer: Answer) -> None:
        self.headers["content-length"] = str(answer.size)
        self.headers["postcall-row-count"] = str(answer.row_count)
        self.headers["postcall-truncated"] = str(answer.is_truncated).lower()
