"""`POST /v1/replays/projections`: make the warehouse again from the log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable

import duckdb
import orjson
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from postcall.errors import PostcallError
from projections.api.answers import RequestRefused
from projections.api.bodies import read_body
from projections.errors import ProjectionError
from projections.projector import Projector
from projections.rebuild import RebuildProgress, rebuild_projection

logger = logging.getLogger(__name__)

Rebuild = Callable[..., AsyncIterator[RebuildProgress]]


class ReplayRequest(BaseModel):
    """The body of `POST /v1/replays/projections`."""

    model_config = ConfigDict(extra="forbid")

    only: str | None = None
    accepts_fewer: bool = False


class ReplayApi:
    """Replays into the warehouse, one at a time."""

    def __init__(self, *, projector: Projector, rebuild: Rebuild) -> None:
        self._projector = projector
        self._rebuild = rebuild
        self._rebuilding = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [Route("/v1/replays/projections", self.replay_projections, methods=["POST"])]

    async def replay_projections(self, request: Request) -> Response:
        """Make the warehouse, or one projection, again from the log; a line of JSON tells the progress every moment,
        the last the end."""
        wish = await read_body(request, ReplayRequest)
        if self._rebuilding.locked():
            raise RequestRefused(409, "replay_running", "The warehouse is being made again already.")
        return StreamingResponse(self._tell_rebuild(wish), media_type="application/x-ndjson")

    async def _tell_rebuild(self, wish: ReplayRequest) -> AsyncIterator[bytes]:
        async with self._rebuilding:
            try:
                rebuild = (
                    rebuild_projection(self._projector, wish.only)
                    if wish.only is not None
                    else self._rebuild(accepts_fewer=wish.accepts_fewer)
                )
                async for progress in rebuild:
                    if progress.is_done and wish.only is None:
                        self._projector.reopen()
                    yield orjson.dumps(dataclasses.asdict(progress)) + b"\n"
            except ProjectionError as error:
                yield orjson.dumps({"error": str(error)}) + b"\n"
            except (PostcallError, duckdb.Error, OSError) as error:
                logger.exception("Rebuild failed", extra={"action": "rebuild_failed"})
                yield orjson.dumps({"error": str(error)}) + b"\n"
