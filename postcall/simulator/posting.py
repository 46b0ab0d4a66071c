"""Posts deliveries as a patient vendor would: signed when sent, each session in order, again until accepted.

The real vendor documents no retries. This one retries so that the set of accepted deliveries does not depend on the
weather, and keeps a ledger, so that what was acknowledged can be held against what is found afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from postcall.simulator.errors import IngestUnreachable
from postcall.simulator.schedule import Delivery
from postcall.simulator.signing import SIGNATURE_HEADER, sign

logger = logging.getLogger(__name__)

RECEIPT_HEADER = "Postcall-Receipt"

_TIMEOUT_S = 30.0
_LONGEST_PAUSE_S = 2.0
#: Answers that say "later"; every other 4xx is final.
_RETRIABLE = {408, 425, 429}


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One line of the ledger: what became of one delivery."""

    delivery: Delivery
    status: int
    receipt_id: str | None
    attempts: int

    @property
    def is_accepted(self) -> bool:
        """Whether the delivery was acknowledged."""
        return 200 <= self.status < 300


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Every delivery's receipt, in the order of the schedule."""

    receipts: tuple[Receipt, ...]

    @property
    def accepted(self) -> tuple[Receipt, ...]:
        """What was acknowledged, and so must never be lost."""
        return tuple(receipt for receipt in self.receipts if receipt.is_accepted)

    @property
    def refused(self) -> tuple[Receipt, ...]:
        """What was turned away for good."""
        return tuple(receipt for receipt in self.receipts if not receipt.is_accepted)


@dataclass(frozen=True, kw_only=True)
class PostingProgress:
    """How far the posting is."""

    total: int
    accepted: int = 0
    refused: int = 0
    retries: int = 0


async def post_deliveries(
    deliveries: Sequence[Delivery],
    *,
    ingest_url: str,
    secret: str,
    concurrency: int = 16,
    rate_per_s: float | None = None,
    patience_s: float = 60.0,
    before_send: Callable[[Delivery], None] = lambda _: None,
    on_progress: Callable[[PostingProgress], None] = lambda _: None,
) -> Ledger:
    """Post them all; `{agent_id}` in the URL stands for the delivery's agent.

    A delivery waits for the one before it in its session; others overtake. `before_send` is called before a delivery's
    first attempt, `on_progress` after each acceptance, refusal and retry.

    :raises IngestUnreachable: nothing at all was accepted for `patience_s`.
    """
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits, trust_env=False) as client:
        poster = _Poster(client, ingest_url, secret, patience_s, on_progress, total=len(deliveries))
        try:
            receipts = await _post_all(poster, deliveries, concurrency, rate_per_s, before_send)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
    return Ledger(receipts=receipts)


async def _post_all(
    poster: _Poster,
    deliveries: Sequence[Delivery],
    concurrency: int,
    rate_per_s: float | None,
    before_send: Callable[[Delivery], None],
) -> tuple[Receipt, ...]:
    slots = asyncio.Semaphore(concurrency)
    latest: dict[str, asyncio.Task[Receipt]] = {}
    started_at_s = time.monotonic()

    async def post_in_turn(delivery: Delivery, previous: asyncio.Task[Receipt] | None) -> Receipt:
        try:
            # The one before got its slot earlier, so this wait always ends.
            if previous is not None:
                await asyncio.wait([previous])
            before_send(delivery)
            return await poster.post(delivery)
        finally:
            slots.release()

    tasks: list[asyncio.Task[Receipt]] = []
    async with asyncio.TaskGroup() as group:
        for place, delivery in enumerate(deliveries):
            if rate_per_s is not None:
                await asyncio.sleep(started_at_s + place / rate_per_s - time.monotonic())
            await slots.acquire()
            task = group.create_task(post_in_turn(delivery, latest.get(delivery.session_id)))
            latest[delivery.session_id] = task
            tasks.append(task)
    return tuple(task.result() for task in tasks)


class _Poster:
    def __init__(
        self,
        client: httpx.AsyncClient,
        ingest_url: str,
        secret: str,
        patience_s: float,
        on_progress: Callable[[PostingProgress], None],
        *,
        total: int,
    ) -> None:
        self._client = client
        self._ingest_url = ingest_url
        self._secret = secret
        self._patience_s = patience_s
        self._on_progress = on_progress
        self._progress = PostingProgress(total=total)
        self._accepted_at_s = time.monotonic()

    async def post(self, delivery: Delivery) -> Receipt:
        """Send until there is a final answer."""
        attempts = 0
        while True:
            attempts += 1
            answer = await self._send(delivery)
            if isinstance(answer, httpx.Response) and not _is_retriable(answer.status_code):
                return self._settle(delivery, answer, attempts)
            self._count(retries=1)
            self._check_patience(answer)
            await asyncio.sleep(min(0.05 * 2**attempts, _LONGEST_PAUSE_S))

    async def _send(self, delivery: Delivery) -> httpx.Response | httpx.TransportError:
        signature = sign(delivery.body, secret=self._secret, at_s=int(time.time()) - delivery.signature_age_s)
        headers = {"content-type": "application/json", SIGNATURE_HEADER: signature}
        url = self._ingest_url.replace("{agent_id}", delivery.agent_id)
        try:
            return await self._client.post(url, content=delivery.body, headers=headers)
        except httpx.TransportError as error:
            return error

    def _settle(self, delivery: Delivery, answer: httpx.Response, attempts: int) -> Receipt:
        receipt = Receipt(
            delivery=delivery,
            status=answer.status_code,
            receipt_id=answer.headers.get(RECEIPT_HEADER),
            attempts=attempts,
        )
        if receipt.is_accepted:
            self._accepted_at_s = time.monotonic()
            self._count(accepted=1)
        else:
            facts = {"action": "delivery_refused", "status": receipt.status, "kind": delivery.kind}
            logger.warning("Delivery refused", extra=facts)
            self._count(refused=1)
        return receipt

    def _count(self, *, accepted: int = 0, refused: int = 0, retries: int = 0) -> None:
        self._progress = PostingProgress(
            total=self._progress.total,
            accepted=self._progress.accepted + accepted,
            refused=self._progress.refused + refused,
            retries=self._progress.retries + retries,
        )
        self._on_progress(self._progress)

    def _check_patience(self, answer: httpx.Response | httpx.TransportError) -> None:
        if time.monotonic() - self._accepted_at_s > self._patience_s:
            last = f"answered {answer.status_code}" if isinstance(answer, httpx.Response) else str(answer)
            raise IngestUnreachable(
                f"{self._ingest_url} has accepted nothing for {self._patience_s:g} s (last: {last}). Is ingest running?"
            )


def _is_retriable(status: int) -> bool:
    return status >= 500 or status in _RETRIABLE
