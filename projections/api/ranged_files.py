"""A file as an HTTP answer, whole or in ranges; a range that it does not have is refused in the shape of all errors."""

from __future__ import annotations

from typing import Final

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from projections.api.answers import RequestRefused, refuse

_REFUSED_RANGE: Final = RequestRefused(416, "wrong_range", "The Range header asks for what the file does not have.")


class RangedFileResponse(FileResponse):
    """The framework's, but for its own words about ranges that cannot be."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_refused = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start" and message["status"] in {400, 416}:
                is_refused = True
            if not is_refused:
                await send(message)

        await super().__call__(scope, receive, send_unless_refused)
        if is_refused:
            await refuse(_REFUSED_RANGE)(scope, receive, send)
