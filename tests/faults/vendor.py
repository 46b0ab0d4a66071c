"""The simulated vendor under observation: each recording that it serves is counted, and may be stopped in mid-body."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postcall.service import open_listener
from postcall.simulator.schedule import Schedule, plan_schedule
from postcall.simulator.sessions import Session
from postcall.simulator.vendor import Vendor, api_url_of
from tests.faults.effects import Effects
from tests.faults.turnstile import Turnstile

API_KEY: Final = "key"
_BODY: Final = "http.response.body"


class WatchedVendor(Vendor):
    """A vendor who remembers when each recording was fetched.

    While `half_way` is closed, every download stops there.
    """

    def __init__(self, schedule: Schedule, **options: object) -> None:
        super().__init__(schedule, api_key=API_KEY, **options)  # type: ignore[arg-type]  # the listener, if anything
        self.downloads = Effects()
        self.half_way = Turnstile()
        self._application.add_middleware(_Watch, vendor=self)


class _Watch:
    """Between the vendor's application and those who fetch."""

    def __init__(self, application: ASGIApp, *, vendor: WatchedVendor) -> None:
        self._application = application
        self._vendor = vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        *_, session_id, what = scope["path"].split("/")
        if what != "recording":
            await self._application(scope, receive, send)
            return
        said: list[Message] = []

        async def keep(message: Message) -> None:
            said.append(message)

        await self._application(scope, receive, keep)
        if said[0]["status"] == 200:
            with self._vendor.downloads.noted(session_id):
                await self._send_halves(said, send, session_id)
        else:
            for message in said:
                await send(message)

    async def _send_halves(self, said: list[Message], send: Send, session_id: str) -> None:
        start, *rest = said
        content = b"".join(message.get("body", b"") for message in rest)
        middle = len(content) // 2
        await send(start)
        await send({"type": _BODY, "body": content[:middle], "more_body": True})
        await self._vendor.half_way.go_through(session_id)
        await send({"type": _BODY, "body": content[middle:]})


@asynccontextmanager
async def running_vendor(*, calls: int, seed: int) -> AsyncIterator[WatchedVendor]:
    """A vendor with about so many calls to tell of, who outlives pipelines."""
    listener = open_listener("127.0.0.1", 0)
    schedule = plan_distinct_calls(calls, seed=seed, api_url=api_url_of(listener))
    async with WatchedVendor(schedule, listener=listener) as vendor:
        yield vendor


def plan_distinct_calls(calls: int, *, seed: int, api_url: str) -> Schedule:
    """A schedule in which no two sessions say the same: a model that is asked can tell which it is about."""
    schedule = plan_schedule(calls, seed=seed, api_url=api_url)
    times_said = Counter(map(said_in, schedule.sessions))
    kept = {session.session_id for session in schedule.sessions if times_said[said_in(session)] == 1}
    return replace(schedule, deliveries=tuple(each for each in schedule.deliveries if each.session_id in kept))


def said_in(session: Session) -> tuple[str, ...]:
    """All that is said in a call."""
    return tuple(turn.text for turn in session.call.turns)
