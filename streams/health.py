"""The health of `postcall streams` over HTTP: `/healthz` while it lives, `/readyz` when every stage is ready.

For whatever starts containers and watches them. It tells states and reasons, nothing of what callers said, so it asks
for no token.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import asdict
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postcall.http_errors import INTERNAL_ERROR, error_body, router_code
from postcall.http_server import serve_http
from postcall.service import address_of, open_listener
from postcall.supervisor import StateChange

logger = logging.getLogger(__name__)

#: How long requests in flight may take when the service stops.
_DRAIN_S: Final = 1
_HEADERS: Final = {"cache-control": "no-store"}


class StagesHealth:
    """What the supervisors said last of each stage."""

    def __init__(self, stages: Iterable[str]) -> None:
        self._stages: dict[str, dict[str, Any]] = {stage: {"state": "starting"} for stage in stages}

    @property
    def is_ready(self) -> bool:
        """Whether every stage runs; one that pauses does, and says why it cannot do more."""
        return all(facts["state"] in {"ready", "paused"} for facts in self._stages.values())

    def note(self, change: StateChange) -> None:
        """Hear of a stage's new state."""
        facts = asdict(change)
        self._stages[facts.pop("name")] = facts

    def tell(self) -> dict[str, Any]:
        """All that is known, for JSON."""
        return {"status": "ready" if self.is_ready else "not_ready", "stages": self._stages}


@contextlib.asynccontextmanager
async def serve_health(
    health: StagesHealth, address: tuple[str, int], *, on_end: Callable[[], None]
) -> AsyncIterator[None]:
    """Answer while the block runs.

    :param address: host and port; port 0 = any free one.
    :param on_end: called when the server has ended; if by itself, leave the block, which raises the cause.
    :raises UsageError: the address is taken or not ours.
    """
    with open_listener(*address) as listener:
        async with serve_http(build_application(health), listener, drain_s=_DRAIN_S, on_end=on_end):
            logger.info("Health is served", extra={"action": "listening", "address": address_of(listener)})
            yield


def build_application(health: StagesHealth) -> Starlette:
    """The ASGI application."""

    async def tell_liveness(_: Request) -> Response:
        return _json_response({"status": "ok"})

    async def tell_readiness(_: Request) -> Response:
        return _json_response(health.tell(), status=200 if health.is_ready else 503)

    return Starlette(
        routes=[Route("/healthz", tell_liveness), Route("/readyz", tell_readiness)],
        exception_handlers=dict.fromkeys((HTTPException, Exception), _answer_error),
    )


async def _answer_error(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        body = error_body(error.status_code, router_code(error), error.detail)
        return Response(body, error.status_code, {**_HEADERS, **(error.headers or {})}, "application/json")
    return Response(error_body(*INTERNAL_ERROR), INTERNAL_ERROR[0], _HEADERS, "application/json")


def _json_response(value: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, _HEADERS, "application/json")
