"""A model that takes its time, and counts who asked it what."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from postcall.http_server import serve_http
from postcall.service import address_of, open_listener

# Long enough that a kill finds some calls under way.
_LATENCY_S: Final = 0.4
_RESULT: Final[dict[str, Any]] = {
    "summary": "A visit was arranged.",
    "intent": "booking",
    "follow_ups": [],
    "customer_name": None,
    "sentiment": "neutral",
}


class Model:
    """What it was asked: each transcript, and how often."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: Counter[str] = Counter()

    async def complete(self, request: Request) -> Response:
        """Answer a chat completion; it counts as paid from the moment it is asked."""
        messages: list[dict[str, Any]] = (await request.json())["messages"]
        self.asked[messages[-1]["content"]] += 1
        await asyncio.sleep(_LATENCY_S)
        message = {"role": "assistant", "content": json.dumps(_RESULT), "refusal": None}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1000, "completion_tokens": 200}
        body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [choice]}
        return JSONResponse(body | {"usage": usage})


@asynccontextmanager
async def running_model() -> AsyncIterator[Model]:
    """A model on a free port, in this event loop."""
    listener = open_listener("127.0.0.1", 0)
    model = Model(f"http://{address_of(listener)}/v1")
    application = Starlette(routes=[Route("/v1/chat/completions", model.complete, methods=["POST"])])
    async with serve_http(application, listener, drain_s=1):
        yield model
