"""`POST /v1/replays/projections`: make the warehouse again from the log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable

import duckdb
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from postcall.errors import PostcallError
from projections.api.answers import RequestRefused
from projections.projector import Projector
from projections.rebuild import RebuildProgress

logger = logging.getLogger(__name__)

Rebuild = Callable[[], AsyncIterator[RebuildProgress]]


class ReplayApi:
    """Replays into the warehouse, one at a time."""

    def __init__(self, *, projector: Projector, rebuild: Rebuild) -> None:
        self._projector = projector
        self._rebuild = rebuild
        self._rebuilding = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [Route("/v1/replays/projections", self.replay_projections, methods=["POST"])]

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
