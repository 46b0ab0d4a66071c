"""What happens to a cluster in production, at random: processes come and go in every way, and so does the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Final, Protocol

from streams.vigil import SESSION_TIMEOUT_S
from tests.faults.effects import Disturbance
from tests.pipeline.processes import descendants_of
from tests.scaling.services import Service

logger = logging.getLogger(__name__)

#: Shorter than a session, and longer; the latter not so long that its parent takes it for dead.
SHORT_SLEEP_S: Final = 3.0
LONG_SLEEP_S: Final = 12.5
_LOG_PAUSE_S: Final = 6.0
_READY_LIMIT_S: Final = 240
_PAUSES_S: Final = (1.0, 7.0)
# After an outage members may find themselves without partitions, and begin anew.
_AFTER_OUTAGE_S: Final = 20.0


class LogNode(Protocol):
    """A log that may be treated so."""

    @property
    def address(self) -> str: ...
    @property
    def name(self) -> str: ...

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Chaos:
    """Lets one thing after another happen; all follows from the seed, but for how long things take.

    :param services: of names such as `streams-b`; at least one of each kind is left alone at any time.
    """

    def __init__(self, services: Mapping[str, Service], log: LogNode, *, seed: int) -> None:
        self.happened: Counter[str] = Counter()
        #: When somebody was killed, or fell asleep for longer than a session: work in flight just then may be cut off.
        self.deaths: list[Disturbance] = []
        #: When the log was away, and members found themselves without partitions afterwards.
        self.outages: list[Disturbance] = []
        self._services = services
        self._log = log
        self._moments = Random(seed)  # noqa: S311 - moments, not secrets
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._down: set[str] = set()
        # Of fourteen things that happen; the names are what the table says.
        self._faults: tuple[tuple[int, str, Callable[[], Awaitable[bool]]], ...] = (
            (3, "streams killed (-9)", self._kill_streams),
            (2, "one stage killed (-9)", self._kill_stage),
            (2, "streams stopped in order", self._stop_streams),
            (1, "streams asleep for 3 s", self._sleep_shortly),
            (2, "streams asleep for 12.5 s", self._sleep_long),
            (1, "ingest killed (-9)", self._kill_ingest),
            (1, "projections killed (-9)", self._kill_projections),
            (1, "log paused for 6 s", self._pause_log),
            (1, "log killed and started", self._restart_log),
        )

    async def reign(self, *, until_s: float) -> None:
        """Let things happen until then, by `time.monotonic`; afterwards everything runs again.

        :raises AssertionError: a service does not become ready again.
        """
        weights = [weight for weight, _, _ in self._faults]
        while time.monotonic() < until_s:
            _, what, let_happen = self._moments.choices(self._faults, weights)[0]
            await self._revive()
            if await let_happen():
                self.happened[what] += 1
            await asyncio.sleep(self._moments.uniform(*_PAUSES_S))
            # Who left comes back some time, not at once.
            if self._down and self._moments.random() < 0.7:
                self._start(self._moments.choice(sorted(self._down)))
        for name in sorted(self._down):
            self._start(name)
        await self._until_all_ready()

    async def _until_all_ready(self) -> None:
        for name in list(self._starting):
            await self._forget_start(name)
        deadline_s = time.monotonic() + _READY_LIMIT_S
        while True:
            await self._revive()
            try:
                await asyncio.gather(*(service.until_ready() for service in self._services.values()))
            except AssertionError:
                # It ended once more, or the machine is too busy.
                assert time.monotonic() < deadline_s, "a service does not become ready again"
            else:
                return

    def _start(self, name: str) -> None:
        logger.info("%s starts", name)
        self._down.discard(name)
        self._services[name].start()
        self._starting[name] = asyncio.create_task(self._services[name].until_ready())

    async def _revive(self) -> None:
        """Start what ended by itself, as whatever runs containers would; it is counted."""
        for name, service in self._services.items():
            if name not in self._down and service.process.has_ended:
                self.happened[f"{name.partition('-')[0]} ended by itself"] += 1
                await self._forget_start(name)
                self._start(name)

    async def _forget_start(self, name: str) -> None:
        if starting := self._starting.pop(name, None):
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, AssertionError):
                await starting

    def _choose(self, kind: str) -> str | None:
        """One of those of a kind that run, unless it is the last."""
        there = [name for name in sorted(self._services) if name.startswith(kind) and name not in self._down]
        return self._moments.choice(there) if len(there) > 1 else None

    async def _kill_streams(self) -> bool:
        return await self._kill_one("streams")

    async def _kill_ingest(self) -> bool:
        return await self._kill_one("ingest")

    async def _kill_one(self, kind: str) -> bool:
        name = self._choose(kind)
        if name is not None:
            await self._kill(name)
            self._down.add(name)
        return name is not None

    async def _kill_projections(self) -> bool:
        await self._kill("projections")
        self._start("projections")
        return True

    async def _kill(self, name: str) -> None:
        await self._forget_start(name)
        began_at_s = time.time()
        self._services[name].kill()
        self._note_death(f"{name} killed", began_at_s)

    async def _kill_stage(self) -> bool:
        name = self._choose("streams")
        if name is None:
            return False
        await self._until_started(name)
        stages = sorted(descendants_of(self._services[name].process.pid))
        began_at_s = time.time()
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(self._moments.choice(stages), signal.SIGKILL)
        self._note_death(f"a stage of {name} killed", began_at_s)
        return True

    async def _stop_streams(self) -> bool:
        name = self._choose("streams")
        if name is None:
            return False
        await self._until_started(name)
        logger.info("%s stops", name)
        try:
            await self._services[name].stop()
        except AssertionError:
            self.happened["stops that were not in order"] += 1
            await self._kill(name)
        self._down.add(name)
        return True

    async def _sleep_shortly(self) -> bool:
        return await self._sleep(SHORT_SLEEP_S)

    async def _sleep_long(self) -> bool:
        return await self._sleep(LONG_SLEEP_S)

    async def _sleep(self, seconds: float) -> bool:
        name = self._choose("streams")
        if name is None:
            return False
        began_at_s = time.time()
        self._services[name].pause()
        if seconds > SESSION_TIMEOUT_S:
            self._note_death(f"{name} sleeps for {seconds:g} s", began_at_s)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._services[name].resume()
        return True

    async def _pause_log(self) -> bool:
        began_at_s = time.time()
        self._log.pause()
        try:
            await asyncio.sleep(_LOG_PAUSE_S)
        finally:
            self._log.resume()
        self._note_outage("log paused", began_at_s)
        return True

    async def _restart_log(self) -> bool:
        began_at_s = time.time()
        self._log.kill()
        await asyncio.to_thread(self._log.start)
        self._note_outage("log killed, and started", began_at_s)
        return True

    async def _until_started(self, name: str) -> None:
        if name in self._starting:
            with contextlib.suppress(AssertionError):
                await asyncio.shield(self._starting[name])

    def _note_death(self, what: str, began_at_s: float) -> None:
        logger.info("%s", what)
        self.deaths.append(Disturbance(what=what, from_s=began_at_s, to_s=time.time()))

    def _note_outage(self, what: str, began_at_s: float) -> None:
        logger.info("%s", what)
        self.outages.append(Disturbance(what=what, from_s=began_at_s, to_s=time.time() + _AFTER_OUTAGE_S))
