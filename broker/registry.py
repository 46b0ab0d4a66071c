"""The requests that this broker answers; what it advertises is read from here, so it cannot drift."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.errors import BrokerError

if TYPE_CHECKING:
    from broker.groups import GroupCoordinator
    from broker.log import Log

#: The only broker of its cluster.
NODE_ID = 1


class DoubleRegistration(BrokerError):
    """Two handlers claim the same request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """A connection, as far as a handler may know it."""

    #: Tells connections apart.
    connection_number: int
    #: Where this client reached the broker: what it is told to connect to.
    host: str
    port: int
    peer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request on its way: who sent it, in which version, and what it may use."""

    version: int
    client_id: str
    client: Client
    log: Log
    groups: GroupCoordinator
    registry: Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """One request of the Kafka protocol: its key, its versions, its codec and its handler.

    The handler returns the response, or None where the protocol has none. It is called in the order in which a
    connection's requests arrived, but does not wait for the one before.
    """

    key: int
    min_version: int
    max_version: int
    request_type: Any
    handle: Callable[[Any, Call], Awaitable[Any]]
    #: Lower than `min_version` only where clients decide on features by a version that they never send.
    advertised_min_version: int | None = None

    @property
    def advertised_versions(self) -> tuple[int, int]:
        """The version range that ApiVersions tells."""
        lowest = self.min_version if self.advertised_min_version is None else self.advertised_min_version
        return lowest, self.max_version

    def answers(self, version: int) -> bool:
        """Whether a request of this version can be answered."""
        return self.min_version <= version <= self.max_version


class Registry:
    """All requests that are answered, by key."""

    def __init__(self, apis: Iterable[Api]) -> None:
        """Take up the handlers.

        :raises DoubleRegistration: two of them claim one key.
        """
        self._apis: dict[int, Api] = {}
        for api in apis:
            if api.key in self._apis:
                raise DoubleRegistration(f"API key {api.key} is registered twice.")
            self._apis[api.key] = api

    def __iter__(self) -> Iterator[Api]:
        return iter(sorted(self._apis.values(), key=lambda api: api.key))

    def find(self, key: int) -> Api | None:
        """The handler of a request, or None."""
        return self._apis.get(key)
