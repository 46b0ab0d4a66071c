"""What a client knows for sure: each request that it made, and what it was answered.

The client is a patient vendor under load: several lanes post the deliveries of a schedule side by side, each again
until it is accepted. Now and then one comes that nobody signed. Nothing is ever forgotten: the oracle holds all of it
against what is found in the log and in the tables afterwards (`tests.faults.oracle`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Self

import httpx

from postcall.simulator.posting import RECEIPT_HEADER
from postcall.simulator.schedule import Delivery
from postcall.simulator.signing import SIGNATURE_HEADER, sign
from tests.faults.pacing import pace
from tests.waiting import eventually

SECRET = "whsec_faults"
_PAUSE_S = 0.2
_PATIENCE_S = 30.0
_FORGED_EVERY = 20


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request and its answer; no status = none came, so nobody knows what became of it."""

    delivery: Delivery
    body_sha256: str
    status: int | None
    receipt_id: str | None
    asked_at_s: float
    seconds: float

    @property
    def is_accepted(self) -> bool:
        """The door claims that it is durable."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """The door claims that it was not taken, and never will be."""
        return self.status is not None and 400 <= self.status < 500


class Ledger:
    """Every request, in the order of the answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    @property
    def accepted(self) -> list[Request]:
        """What must be there."""
        return [request for request in self.requests if request.is_accepted]

    @property
    def refused(self) -> list[Request]:
        """What must not be there."""
        return [request for request in self.requests if request.is_refused]

    @property
    def unknown(self) -> list[Request]:
        """What may be there: the door could not say, or did not."""
        return [request for request in self.requests if not (request.is_accepted or request.is_refused)]

    def answered_since(self, moment_s: float) -> Ledger:
        """What was answered after a moment of `time.monotonic`, or not at all."""
        later = Ledger()
        later.requests = [request for request in self.requests if request.asked_at_s + request.seconds >= moment_s]
        return later

    def without(self, receipt_ids: Collection[str | None]) -> Ledger:
        """All but what has one of these receipts."""
        others = Ledger()
        others.requests = [request for request in self.requests if request.receipt_id not in receipt_ids]
        return others

    async def ask(
        self, client: httpx.AsyncClient, delivery: Delivery, *, secret: str = SECRET, padding: bytes = b""
    ) -> Request:
        """Make one request, and note it whatever comes of it.

        :param padding: white space, with which the body is another one that says the same.
        """
        body = delivery.body + padding
        headers = {SIGNATURE_HEADER: sign(body, secret=secret, at_s=int(time.time()))}
        asked_at_s = time.monotonic()
        try:
            answer = await client.post(f"/webhooks/layercode/{delivery.agent_id}", content=body, headers=headers)
            status, receipt_id = answer.status_code, answer.headers.get(RECEIPT_HEADER)
        except httpx.TransportError:
            status, receipt_id = None, None
        request = Request(
            delivery=delivery,
            body_sha256=sha256(body).hexdigest(),
            status=status,
            receipt_id=receipt_id,
            asked_at_s=asked_at_s,
            seconds=time.monotonic() - asked_at_s,
        )
        self.requests.append(request)
        return request


class Load:
    """Posts deliveries while the block runs; on leaving it, the sessions that were begun are told to their end."""

    def __init__(
        self,
        ingest_url: str,
        deliveries: Sequence[Delivery],
        *,
        before_send: Callable[[Delivery], None],
        ledger: Ledger,
        rate_per_s: float = 40.0,
        lanes: int = 24,
    ) -> None:
        self.ledger = ledger
        self._url = ingest_url
        self._deliveries = deliveries
        self._before_send = before_send
        self._interval_s = 1 / rate_per_s
        self._lanes = lanes
        self._stopped = asyncio.Event()
        self._posting: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        waiting = pace(self._deliveries, interval_s=self._interval_s, stopped=self._stopped)
        self._posting = [asyncio.create_task(self._post(waiting)) for _ in range(self._lanes)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if error is not None:
            for task in self._posting:
                task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=error is not None)

    async def until_accepted(self, *, more: int, timeout_s: float = 60.0) -> float:
        """Return once so many more deliveries were accepted; says after how many seconds the first was."""
        began_at_s = time.monotonic()
        before = len(self.ledger.accepted)
        await eventually(lambda: len(self.ledger.accepted) > before, timeout_s=timeout_s)
        seconds = round(time.monotonic() - began_at_s, 1)
        await eventually(lambda: len(self.ledger.accepted) >= before + more, timeout_s=timeout_s)
        return seconds

    async def _post(self, waiting: Iterator[tuple[Delivery, float]]) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=_PATIENCE_S, trust_env=False) as client:
            for number, (delivery, due_s) in enumerate(waiting):
                await asyncio.sleep(due_s - time.monotonic())
                if number % _FORGED_EVERY == 0:
                    await self.ledger.ask(client, delivery, secret="whsec_forged", padding=b" ")
                self._before_send(delivery)
                await self._post_until_accepted(client, delivery)

    async def _post_until_accepted(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        while True:
            if (await self.ledger.ask(client, delivery)).is_accepted:
                return
            await asyncio.sleep(_PAUSE_S)
