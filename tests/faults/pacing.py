"""A steady load that can be stopped at any time without leaving a session half told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator

from postcall.simulator.schedule import Delivery


def pace(
    deliveries: Iterable[Delivery], *, interval_s: float, stopped: asyncio.Event
) -> Iterator[tuple[Delivery, float]]:
    """Each delivery with the moment at which it is due; after an outage there is no rush to catch up.

    Once stopped: what is left of the sessions that were begun, at once.
    """
    begun: set[str] = set()
    due_s = time.monotonic()
    for delivery in deliveries:
        if not stopped.is_set():
            due_s = max(due_s + interval_s, time.monotonic())
            begun.add(delivery.session_id)
        if delivery.session_id in begun:
            yield delivery, due_s
    assert stopped.is_set(), "the load ended before the test: plan more calls"
