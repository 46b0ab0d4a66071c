"""How much the door carries at once: requests, and bytes of their bodies. Beyond that it says so at once."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ingest.errors import DoorBusy


class Capacity:
    """Counts what is in flight."""

    def __init__(self, *, max_requests: int, max_bytes: int) -> None:
        self._free_requests = max_requests
        self._free_bytes = max_bytes

    def admit(self) -> Slot:
        """A slot for one request, to be used in a `with` block.

        :raises DoorBusy: too many requests are in flight.
        """
        if self._free_requests == 0:
            raise DoorBusy
        self._free_requests -= 1
        return Slot(self)

    def hold(self, size: int) -> None:
        """Count bytes as held in memory.

        :raises DoorBusy: too many are held already.
        """
        if size > self._free_bytes:
            raise DoorBusy
        self._free_bytes -= size

    def release(self, held_bytes: int) -> None:
        """Give one slot back, with the bytes held in it."""
        self._free_requests += 1
        self._free_bytes += held_bytes


class Slot:
    """One request's share; given back when the block ends."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._held_bytes = 0

    def hold(self, size: int) -> None:
        """Hold `size` more bytes.

        :raises DoorBusy: see `Capacity.hold`.
        """
        self._capacity.hold(size)
        self._held_bytes += size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capacity.release(self._held_bytes)
