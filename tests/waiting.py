"""Waiting for a condition, the one way tests do it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(check: Callable[[], bool] | Callable[[], Awaitable[bool]], *, timeout_s: float = 20.0) -> None:
    """Return once `check` holds; fail when it has not within the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        outcome = check()
        if outcome if isinstance(outcome, bool) else await outcome:
            return
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        await asyncio.sleep(0.02)
