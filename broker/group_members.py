"""A member of a consumer group: what it offered, what it was assigned, and until when it counts as alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinRequest:
    """A wish to be in a consumer group. An empty member id asks for a new one."""

    group_id: str
    member_id: str
    client_id: str
    client_host: str
    connection_number: int
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    #: Assignment strategies by name, the preferred first, each with what the leader needs to know.
    protocols: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinResult:
    """A place in a generation. Only the leader is told of the members, for it assigns the partitions."""

    generation: int
    protocol_name: str
    leader_id: str
    member_id: str
    members: Mapping[str, bytes]


@dataclass(kw_only=True, eq=False)
class Member:
    """A member, as its group sees it."""

    member_id: str
    request: JoinRequest
    connection_number: int
    assignment: bytes = b""
    #: Set while the member waits for the others to join, or for the leader's assignment.
    joining: asyncio.Future[JoinResult] | None = None
    syncing: asyncio.Future[bytes] | None = None
    _alive_until_s: float = 0.0
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    def keep_alive(self, expired: Callable[[Member], None]) -> None:
        """Count the session timeout from now; `expired` is called when it has passed without another call."""
        loop = asyncio.get_running_loop()
        self._alive_until_s = loop.time() + self.request.session_timeout_ms / 1000
        if self._timer is None:
            self._timer = loop.call_at(self._alive_until_s, self._check, expired)

    def expire_in(self, delay_s: float, expired: Callable[[Member], None]) -> None:
        """Count down this time instead, unless the member is heard of before."""
        self.stop_timer()
        loop = asyncio.get_running_loop()
        self._alive_until_s = loop.time() + delay_s
        self._timer = loop.call_at(self._alive_until_s, self._check, expired)

    def stop_timer(self) -> None:
        """Stop counting: the member waits for the group, not the group for it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._alive_until_s = 0.0

    def _check(self, expired: Callable[[Member], None]) -> None:
        # Heartbeats only move the deadline; one timer follows it.
        loop = asyncio.get_running_loop()
        self._timer = None
        if loop.time() < self._alive_until_s:
            self._timer = loop.call_at(self._alive_until_s, self._check, expired)
        else:
            expired(self)
