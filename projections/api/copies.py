"""`GET /v1/copy`: the copy as a file, whole or in ranges; `POST /v1/copy`: make one now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from projections.api.answers import PRIVATE_HEADERS, RequestRefused, json_response
from projections.api.ranged_files import RangedFileResponse
from projections.copying.copier import Copier
from projections.copying.errors import CopyFailed


class CopiesApi:
    """The copy over HTTP."""

    def __init__(self, *, copier: Copier) -> None:
        self._copier = copier

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [
            Route("/v1/copy", self.send_copy, methods=["GET"]),
            Route("/v1/copy", self.make_copy, methods=["POST"]),
        ]

    async def send_copy(self, request: Request) -> Response:
        """The present copy; one that takes its place meanwhile changes nothing of the answer."""
        try:
            file = self._copier.path.open("rb")
        except FileNotFoundError:
            raise RequestRefused(404, "no_copy", "There is no copy yet. POST /v1/copy makes one now.") from None
        response = _OpenFileResponse(file, name=self._copier.path.name)
        if _is_known(request, response.headers["etag"]):
            file.close()
            return Response(status_code=304, headers=PRIVATE_HEADERS | {"etag": response.headers["etag"]})
        return response

    async def make_copy(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """Make a copy of what the warehouse holds now; answered once it is there."""
        try:
            copy = await self._copier.copy_now()
        except CopyFailed as error:
            raise RequestRefused(503, error.code, str(error)) from error
        return json_response(
            {
                "copied_at": copy.copied_at,
                "bytes": copy.bytes,
                "seconds": copy.seconds,
                "left_out": copy.left_out,
            }
        )


class _OpenFileResponse(RangedFileResponse):
    """An open file, whatever takes its name meanwhile."""

    def __init__(self, file: IO[bytes], *, name: str) -> None:
        status = os.fstat(file.fileno())
        super().__init__(
            Path(f"/dev/fd/{file.fileno()}"),
            media_type="application/octet-stream",
            filename=name,
            stat_result=status,
            headers=PRIVATE_HEADERS | {"etag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"'},
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


def _is_known(request: Request, etag: str) -> bool:
    """Whether the client has this file already."""
    given = request.headers.get("if-none-match", "")
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in given.split(",") if tag.strip())
