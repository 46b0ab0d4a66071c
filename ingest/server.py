"""The door as a process: listen at once, connect to the log when it is there, and stop in order.

Stopping: no new connections, requests in flight are answered, what was handed to the log is flushed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp

from ingest.appender import open_appender
from ingest.application import build_application
from ingest.connections import BoundedConnection
from ingest.refusals import Refusals
from ingest.webhooks import Limits, WebhookDoor
from postcall.http_server import serve_http
from postcall.service import address_of
from postcall.settings import Settings
from postcall.sources.base import Source

logger = logging.getLogger(__name__)

# Longer than an append may take, shorter than a supervisor's patience.
_STOP_DEADLINE_S = 9
_KEEP_ALIVE_S = 30


async def serve(
    *,
    sources: Mapping[str, Source],
    settings: Settings,
    listener: socket.socket,
    on_ready: Callable[[], None],
    stopping: asyncio.Event,
) -> None:
    """Serve until `stopping` is set; `on_ready` is called once deliveries can be stored."""
    log = settings.log
    refusals = Refusals()
    async with open_appender(
        log,
        topics=settings.topics,
        on_end=stopping.set,
    ) as appender:
        limits = Limits(max_body_bytes=settings.max_body_bytes)
        door = WebhookDoor(sources=sources, append=appender.append, limits=limits, refusals=refusals)
        application = build_application(door, is_ready=appender.is_ready)
        announcing = asyncio.create_task(_announce(appender.connected, listener, on_ready))
        try:
            async with serve_application(application, listener, on_end=stopping.set):
                await stopping.wait()
        finally:
            announcing.cancel()
    logger.info("Door closed", extra={"action": "stopped", "refused": dict(refusals.counts)})


def serve_application(
    application: ASGIApp,
    listener: socket.socket,
    *,
    on_end: Callable[[], None] = lambda: None,
    connection: type[BoundedConnection] = BoundedConnection,
) -> AbstractAsyncContextManager[None]:
    """Serve an ASGI application within the bounds of a public door, while the block runs; see `serve_http`."""
    return serve_http(
        application,
        listener,
        drain_s=_STOP_DEADLINE_S,
        on_end=on_end,
        http=connection,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )


async def _announce(connected: asyncio.Event, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    address = address_of(listener)
    logger.info("Listening, not ready before the log is", extra={"action": "listening", "address": address})
    await connected.wait()
    logger.info("Door open", extra={"action": "ready", "address": address})
    on_ready()
