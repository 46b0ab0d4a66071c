"""Following Faust's rebalances: a partition is caught up with, then owned, until it is revoked."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from typing import Any

import faust

from postcall.errors import LogUnavailable
from streams.failures import pause_after
from streams.stage import Stage

logger = logging.getLogger(__name__)

# How long a rebalance waits for slow work, and the group with it. Most model calls and downloads are shorter; what
# takes longer may be begun again by the next owner.
HANDOVER_LIMIT_S = 20.0


class Assignments:
    """The partitions that this process was assigned, and of those the ones that its stage owns.

    :param on_ready: called once, when all that was first assigned is owned.
    """

    def __init__(self, stage: Stage, *, on_ready: Callable[[], None]) -> None:
        self._stage = stage
        self._on_ready = on_ready
        self._is_ready = False
        self._was_assigned = False
        # A partition that was taken away and given back has another number: what was begun for the old one is void.
        self._assigned: dict[int, int] = {}
        self._numbers = itertools.count()
        self._owned: set[int] = set()
        self._changed = asyncio.Condition()

    def listen(self, app: faust.App) -> None:
        """Hear of the app's rebalances."""
        app.on_partitions_assigned.connect(self._assign)
        app.on_partitions_revoked.connect(self._revoke)

    async def follow(self) -> None:
        """Catch up with what is assigned, until cancelled.

        :raises StageCrashed: the log has changed since it was looked at.
        """
        while True:
            async with self._changed:
                await self._changed.wait_for(self._is_behind)
            while missing := self._missing():
                await self._take_over(min(missing))
            self._become_ready()

    async def until_owned(self, partition: int) -> None:
        """Return once the stage owns the partition."""
        if partition not in self._owned:
            async with self._changed:
                await self._changed.wait_for(lambda: partition in self._owned)

    def _missing(self) -> set[int]:
        return self._assigned.keys() - self._owned

    def _is_behind(self) -> bool:
        return bool(self._missing()) or (self._was_assigned and not self._is_ready)

    async def _take_over(self, partition: int) -> None:
        number = self._assigned[partition]
        failures = 0
        while self._assigned.get(partition) == number:
            try:
                await self._stage.catch_up(partition)
            except LogUnavailable as error:
                if not failures:
                    logger.warning(
                        "Cannot catch up yet: %s",
                        error,
                        extra={"action": "catch_up_delayed", "stage": self._stage.name, "partition": partition},
                    )
                failures += 1
                await asyncio.sleep(pause_after(failures))
            else:
                await self._own(partition, number)
                return

    async def _own(self, partition: int, number: int) -> None:
        async with self._changed:
            if self._assigned.get(partition) == number:
                self._owned.add(partition)
                self._stage.own(partition)
            self._changed.notify_all()

    def _become_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            logger.info(
                "Stage is ready",
                extra={"action": "ready", "stage": self._stage.name, "partitions": sorted(self._owned)},
            )
            self._on_ready()

    async def _assign(self, _app: Any, assigned: Iterable[Any], **_facts: Any) -> None:
        async with self._changed:
            self._was_assigned = True
            partitions = {partition.partition for partition in assigned}
            for partition in partitions - self._assigned.keys():
                self._assigned[partition] = next(self._numbers)
            self._drop(frozenset(self._assigned.keys() - partitions))
            self._changed.notify_all()

    async def _revoke(self, _app: Any, revoked: Iterable[Any], **_facts: Any) -> None:
        self._drop(frozenset(partition.partition for partition in revoked))
        await self._stage.finish(HANDOVER_LIMIT_S)

    def _drop(self, partitions: frozenset[int]) -> None:
        for partition in partitions:
            self._assigned.pop(partition, None)
        self._owned -= partitions
        self._stage.disown(partitions)
