"""A door to post to, as strict about signatures as a real one, that can be told to misbehave."""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postcall.http_server import serve_http
from postcall.service import open_listener

SECRET = "whsec_simulated"


@dataclass(kw_only=True)
class Door:
    """What arrived, and how to answer."""

    url: str
    accepted: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    moments_s: list[int] = field(default_factory=list)
    #: Answers 503 to every body until it was seen this often.
    failures_per_body: int = 0
    #: Answers this to everything, if set.
    status: int | None = None
    seen: defaultdict[bytes, int] = field(default_factory=lambda: defaultdict(int))

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        self.paths.append(request.url.path)
        self.seen[body] += 1
        if self.status is not None:
            return Response(status_code=self.status)
        if not _is_signed(body, request.headers.get("layercode-signature", "")):
            return Response(status_code=401)
        if self.seen[body] <= self.failures_per_body:
            return Response(status_code=503)
        self.accepted.append(body)
        self.moments_s.append(int(request.headers["layercode-signature"].partition(",")[0].removeprefix("t=")))
        return Response("OK", headers={"Postcall-Receipt": f"receipt-{len(self.accepted)}"})


def _is_signed(body: bytes, header: str) -> bool:
    moment, _, digest = header.removeprefix("t=").partition(",v1=")
    wanted = hmac.new(SECRET.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(digest, wanted)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    listener = open_listener("127.0.0.1", 0)
    door = Door(url=f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks/layercode")
    application = Starlette(routes=[Route("/webhooks/{rest:path}", door.answer, methods=["POST"])])
    async with serve_http(application, listener, drain_s=2):
        yield door
