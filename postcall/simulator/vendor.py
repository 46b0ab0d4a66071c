"""The simulated vendor as a whole: it serves its REST API and posts its webhooks.

    async with Vendor(plan_schedule(50, seed=7), api_key="key") as vendor:
        ledger = await vendor.post("http://127.0.0.1:8000/webhooks/layercode", secret="whsec_…")

What it serves follows what it has posted: a recording can be fetched just before its update is sent, not earlier.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from postcall.http_server import serve_http
from postcall.service import open_listener
from postcall.simulator.posting import Ledger, PostingProgress, post_deliveries
from postcall.simulator.rest import SessionStore, build_rest
from postcall.simulator.schedule import Schedule

#: How long answers under way may take when the vendor stops.
_DRAIN_S: Final = 2


class Vendor:
    """Serves while it is entered, on `listener` or a free port of this machine, in the running event loop."""

    def __init__(self, schedule: Schedule, *, api_key: str, listener: socket.socket | None = None) -> None:
        self.schedule = schedule
        self.sessions = SessionStore(schedule)
        self._listener = listener or open_listener("127.0.0.1", 0)
        self._application = build_rest(self.sessions, api_key=api_key)
        self._open = contextlib.AsyncExitStack()
        self.api_url = api_url_of(self._listener)

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(serve_http(self._application, self._listener, drain_s=_DRAIN_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def post(
        self,
        ingest_url: str,
        *,
        secret: str,
        rate_per_s: float | None = None,
        on_progress: Callable[[PostingProgress], None] = lambda _: None,
    ) -> Ledger:
        """Post the whole schedule, as `post_deliveries` does.

        :raises IngestUnreachable: nothing at all was accepted for a minute.
        """
        return await post_deliveries(
            self.schedule.deliveries,
            ingest_url=ingest_url,
            secret=secret,
            rate_per_s=rate_per_s,
            before_send=self.sessions.advance,
            on_progress=on_progress,
        )

    async def wait_for_recordings(self, *, timeout_s: float) -> bool:
        """Until every recording was fetched at least once: True, or False after `timeout_s`."""
        try:
            await asyncio.wait_for(self.sessions.all_recordings_served.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


def api_url_of(listener: socket.socket) -> str:
    """The REST base URL of a vendor on this socket: `LAYERCODE_API_URL` for a pipeline, `api_url` for a schedule."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}/v1"
