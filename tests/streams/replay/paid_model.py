"""A model that answers all alike, and counts what it was paid for; and the calls it is asked about."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from postcall.events import SessionEnded
from postcall.http_server import serve_http
from postcall.log import encode
from postcall.records import NewRecord
from postcall.service import address_of, open_listener
from tests.faults.turnstile import Turnstile
from tests.projections.calls import FIRST_CALL_AT, make_call

#: 1000 fresh tokens at 0.25 and 200 out at 2.00 USD per million.
COST_USD: Final = Decimal("0.00065")
_RESULT: Final[dict[str, Any]] = {
    "summary": "The boiler leaks.",
    "intent": "fault",
    "follow_ups": [],
    "customer_name": None,
    "sentiment": "neutral",
}
_CALL: Final = re.compile(r"of call (\d+):")


class PaidModel:
    """Knows which call it is asked about by what is said in it. While `answering` is closed, every question waits."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.paid: Counter[str] = Counter()
        self.order: list[str] = []
        self.answering = Turnstile()

    @property
    def environment(self) -> dict[str, str]:
        """What tells the stage to use it."""
        return {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": self.url}

    async def complete(self, request: Request) -> Response:
        """Answer a chat completion, paid for from the moment that it is asked for."""
        content = (await request.json())["messages"][-1]["content"]
        session_id = session_of(int(_CALL.findall(content)[0]))
        self.paid[session_id] += 1
        self.order.append(session_id)
        await self.answering.go_through(session_id)
        message = {"role": "assistant", "content": json.dumps(_RESULT), "refusal": None}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1000, "completion_tokens": 200}
        body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [choice]}
        return JSONResponse(body | {"usage": usage})


@asynccontextmanager
async def running_paid_model() -> AsyncIterator[PaidModel]:
    """A model on a free port, in this event loop."""
    listener = open_listener("127.0.0.1", 0)
    model = PaidModel(f"http://{address_of(listener)}/v1")
    application = Starlette(routes=[Route("/v1/chat/completions", model.complete, methods=["POST"])])
    async with serve_http(application, listener, drain_s=1):
        yield model


def session_of(number: int) -> str:
    """The session of a call."""
    return f"session-{number:06}"


def ended(number: int, *, turns: int = 6) -> SessionEnded:
    """A call's end, with its transcript."""
    return next(message for message, _ in make_call(number, turns=turns) if isinstance(message, SessionEnded))


def ended_record(event: SessionEnded) -> NewRecord:
    """It as an event of the log."""
    return encode(event, source="layercode", time=FIRST_CALL_AT)
