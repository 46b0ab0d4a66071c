"""The door's routes, and the shape of its errors on all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.answers import refuse
from ingest.webhooks import WebhookDoor
from postcall.errors import LogUnavailable


def build_application(door: WebhookDoor, *, is_ready: Callable[[], Awaitable[bool]]) -> Starlette:
    """The ASGI application.

    :param is_ready: whether a delivery that came now could be stored.
    """

    async def show_liveness(_: Request) -> Response:
        return Response("alive\n", media_type="text/plain")

    async def show_readiness(_: Request) -> Response:
        if await is_ready():
            return Response("ready\n", media_type="text/plain")
        return refuse(LogUnavailable())

    application = Starlette(
        routes=[
            Route("/webhooks/{source}", door),
            Route("/webhooks/{source}/{agent_id:path}", door),
            Route("/healthz", show_liveness),
            Route("/readyz", show_readiness),
        ],
        exception_handlers={HTTPException: _refuse_request, Exception: _refuse_request},
    )
    # A redirect would lose the body of a POST at many clients.
    application.router.redirect_slashes = False
    return application


async def _refuse_request(_: Request, error: Exception) -> Response:
    return refuse(error)
