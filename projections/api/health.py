"""`/healthz` and `/readyz`: whether the process lives, and whether its answers keep step with the log."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections.api.answers import json_response
from projections.projector import Projector


class HealthApi:
    """What a supervisor and a load balancer ask."""

    def __init__(self, *, projector: Projector, instance: str | None) -> None:
        self._projector = projector
        self._instance = instance

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [Route("/healthz", self.tell_health), Route("/readyz", self.tell_readiness)]

    async def tell_health(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """The process lives."""
        return json_response({"status": "ok", "instance": self._instance})

    async def tell_readiness(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """SQL is answered from a warehouse that follows the log; `unread` says how far it is behind, `reason` why it is
        held, `catching_up` which projections are being made, `stopped` which of a user's are not, and why."""
        status = await self._projector.read_status()
        is_ready = status.state == "reading"
        facts: dict[str, Any] = {
            "status": "ready" if is_ready else status.state,
            "unread": status.unread,
            "instance": self._instance,
        }
        more = {"reason": status.reason, "catching_up": status.catching_up, "stopped": status.stopped}
        facts |= {name: value for name, value in more.items() if value}
        return json_response(facts, status=200 if is_ready else 503)
