"""Deliveries for several doors, as behind a load balancer: what one door does not take is brought to the next."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from postcall.simulator.schedule import Delivery
from tests.faults.ledger import Ledger
from tests.faults.pacing import pace
from tests.waiting import eventually

_LANES = 16
_PAUSE_S = 0.1


class SpreadLoad:
    """Posts while the block runs; on leaving it, the sessions that were begun are told to their end.

    :param doors: the URLs of the doors that there are now, by name; they may change at any time.
    """

    def __init__(
        self,
        doors: Callable[[], Mapping[str, str]],
        deliveries: Sequence[Delivery],
        *,
        before_send: Callable[[Delivery], None],
        rate_per_s: float,
    ) -> None:
        self.ledger = Ledger()
        self._doors = doors
        self._deliveries = deliveries
        self._before_send = before_send
        self._interval_s = 1 / rate_per_s
        self._turns = itertools.count()
        self._stopped = asyncio.Event()
        self._posting: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        waiting = pace(self._deliveries, interval_s=self._interval_s, stopped=self._stopped)
        self._posting = [asyncio.create_task(self._post(waiting)) for _ in range(_LANES)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if error is not None:
            for task in self._posting:
                task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=error is not None)

    async def until_accepted(self, *, more: int) -> None:
        """Return once so many more deliveries were accepted."""
        wanted = len(self.ledger.accepted) + more

        def are_accepted() -> bool:
            for lane in self._posting:
                if lane.done():
                    lane.result()
            return len(self.ledger.accepted) >= wanted

        await eventually(are_accepted, timeout_s=60)

    async def _post(self, waiting: Iterator[tuple[Delivery, float]]) -> None:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            for delivery, due_s in waiting:
                await asyncio.sleep(due_s - time.monotonic())
                self._before_send(delivery)
                await self._post_until_accepted(client, delivery)

    async def _post_until_accepted(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        while True:
            urls = list(self._doors().values())
            client.base_url = httpx.URL(urls[next(self._turns) % len(urls)])
            if (await self.ledger.ask(client, delivery)).is_accepted:
                return
            await asyncio.sleep(_PAUSE_S)
