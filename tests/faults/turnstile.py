"""Where all pass while it is open; once it is closed all wait, until it opens or they are let through one by one."""

from __future__ import annotations

import asyncio


class Turnstile:
    """Open at first."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}
        self._is_open = True

    @property
    def waiting(self) -> list[str]:
        """Who waits, longest first."""
        return list(self._waiting)

    async def go_through(self, name: str) -> None:
        """Return once one may."""
        if not self._is_open:
            self._waiting[name] = asyncio.Event()
            await self._waiting[name].wait()

    def close(self) -> None:
        """Let all who come wait."""
        self._is_open = False

    def open(self) -> None:
        """Let all through who wait, and who come."""
        self._is_open = True
        while self._waiting:
            self.let_one_through()

    def let_one_through(self) -> str:
        """Let through who has waited longest; returns the name."""
        name = next(iter(self._waiting))
        self._waiting.pop(name).set()
        return name
