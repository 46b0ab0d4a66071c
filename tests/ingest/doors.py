"""A door served over real HTTP from the test's own loop, its clients, and a look into its log."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
from aiokafka import TopicPartition

from ingest.appender import APPEND_DEADLINE_S, open_appender
from ingest.application import build_application
from ingest.connections import BoundedConnection
from ingest.refusals import Refusals
from ingest.server import serve_application
from ingest.webhooks import Limits, WebhookDoor
from postcall.kafka import open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.settings import Configuration
from postcall.sources import load_verifiable_sources
from postcall.topic_settings import TopicSettings
from postcall.topics import WEBHOOKS
from tests.waiting import eventually

SECRET = "whsec_test_123"


@dataclass(frozen=True, kw_only=True)
class Door:
    """An open door."""

    url: str
    port: int
    log_address: str
    client: httpx.AsyncClient
    refusals: Refusals

    async def until_ready(self) -> None:
        async def is_ready() -> bool:
            return (await self.client.get("/readyz")).status_code == 200

        await eventually(is_ready)

    async def post(self, body: bytes, path: str = "/webhooks/layercode", **headers: str) -> httpx.Response:
        """Post a body, signed."""
        return await self.client.post(path, content=body, headers={"layercode-signature": sign(body), **headers})

    async def read_log(self) -> list[Record]:
        return await read_webhooks(self.log_address)


def sign(body: bytes, *, age_s: int = 0, secret: str = SECRET) -> str:
    timestamp = str(int(time.time()) - age_s)
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


@contextlib.asynccontextmanager
async def open_door(
    log_address: str,
    *,
    limits: Limits | None = None,
    deadline_s: float = APPEND_DEADLINE_S,
    connection: type[BoundedConnection] = BoundedConnection,
) -> AsyncIterator[Door]:
    """Serve a door on a free port."""
    refusals = Refusals()
    sources = load_verifiable_sources(Configuration(environment={"LAYERCODE_WEBHOOK_SECRET": SECRET}))
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    async with open_appender(
        LogConnection(log_address), topics=TopicSettings(), on_end=lambda: None, deadline_s=deadline_s
    ) as appender:
        endpoint = WebhookDoor(sources=sources, append=appender.append, limits=limits or Limits(), refusals=refusals)
        application = build_application(endpoint, is_ready=appender.is_ready)
        url = f"http://127.0.0.1:{port}"
        async with (
            serve_application(application, listener, connection=connection),
            httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
        ):
            yield Door(url=url, port=port, log_address=log_address, client=client, refusals=refusals)


async def read_webhooks(log_address: str) -> list[Record]:
    """All records of `postcall.webhooks`, in the order of each partition."""
    async with open_consumer(LogConnection(log_address)) as consumer:
        partitions = [TopicPartition(WEBHOOKS.name, number) for number in range(4)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign([partition for partition in partitions if ends[partition]])
        records: list[Record] = []
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        while len(records) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records.extend(to_record(message) for message in batch)
        return records
