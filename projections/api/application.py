"""The private port put together: families of routes, one shape of errors, and the guard before all of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from projections.api.answers import RequestRefused, refuse
from projections.api.guard import Guard
from projections.errors import ProjectionError


class RouteFamily(Protocol):
    """Handlers that belong together, with what they need; each family is a module of its own beside this one."""

    def routes(self) -> list[Route]:
        """The family's routes."""


def build_application(families: Iterable[RouteFamily], guard: Guard) -> ASGIApp:
    """The application, guarded."""
    routes = [route for family in families for route in family.routes()]
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


async def _answer_error(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as Starlette calls it
    return refuse(error)
