"""A model that takes its time, and remembers when it was asked about which session."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from postcall.http_server import serve_http
from postcall.service import address_of, open_listener
from postcall.simulator.schedule import Schedule
from tests.faults.effects import Effects
from tests.faults.turnstile import Turnstile
from tests.faults.vendor import said_in

#: Long enough that a kill finds some calls under way.
LATENCY_S: Final = 0.4
_RESULT: Final[dict[str, Any]] = {
    "summary": "A visit was arranged.",
    "intent": "booking",
    "follow_ups": [],
    "customer_name": None,
    "sentiment": "neutral",
}


class Model:
    """Answers all alike; a call counts as paid from the moment it is asked.

    While `answering` is closed, every call waits there.
    """

    def __init__(self, url: str, schedule: Schedule, *, latency_s: Callable[[], float]) -> None:
        self.url = url
        self.calls = Effects()
        self.answering = Turnstile()
        self._latency_s = latency_s
        self._sessions = {said_in(session): session.session_id for session in schedule.sessions}

    @property
    def asked(self) -> Counter[str]:
        """How often it was asked about each session by now."""
        return self.calls.counts

    @property
    def environment(self) -> dict[str, str]:
        """What tells `streams` to use it."""
        return {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": self.url}

    async def complete(self, request: Request) -> Response:
        """Answer a chat completion."""
        messages: list[dict[str, Any]] = (await request.json())["messages"]
        session_id = self._session_of(messages[-1]["content"])
        with self.calls.noted(session_id):
            await asyncio.sleep(self._latency_s())
            await self.answering.go_through(session_id)
        message = {"role": "assistant", "content": json.dumps(_RESULT), "refusal": None}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1000, "completion_tokens": 200}
        body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [choice]}
        return JSONResponse(body | {"usage": usage})

    def _session_of(self, content: str) -> str:
        return self._sessions[tuple(turn["text"] for turn in json.loads(content)["transcript"])]


@asynccontextmanager
async def running_model(
    schedule: Schedule, *, latency_s: Callable[[], float] = lambda: LATENCY_S
) -> AsyncIterator[Model]:
    """A model on a free port, in this event loop, for the calls of a schedule."""
    listener = open_listener("127.0.0.1", 0)
    model = Model(f"http://{address_of(listener)}/v1", schedule, latency_s=latency_s)
    application = Starlette(routes=[Route("/v1/chat/completions", model.complete, methods=["POST"])])
    async with serve_http(application, listener, drain_s=1):
        yield model
