"""Fault 9: workers join and leave every few seconds, in the middle of batches, and one record in a thousand is slow."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postcall.kafka import append, open_producer
from postcall.log import encode
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Position
from postcall.requests import DownloadRecording
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import EVENTS, RECORDING_REQUESTS, RECORDINGS, WEBHOOKS, stage_group
from tests.faults.churn_member import CAUSE, SLOW
from tests.faults.committed import Committed, watched_offsets
from tests.faults.following import Follower, following
from tests.faults.oracle import read_topic
from tests.streams.ledger_worker import read_ledger
from tests.streams.requests import AT
from tests.streams.stage_process import StageProcess
from tests.waiting import eventually

pytestmark = [
    pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True),
    pytest.mark.timeout(300),
]

_PARTITIONS = 4
# Half a minute, or longer where processes take long to start.
_CHANGES, _LEFT = 10, 3
_CHANGE_INTERVAL_S = 3.0
_MEMBERS, _MOST_MEMBERS = 2, 4
_TICK_S = 0.1
_DELIVERIES_A_TICK, _REQUESTS_A_TICK = 30, 3
_SLOW_DELIVERY, _SLOW_REQUEST = 1000, 100


async def test_fault_09_workers_that_come_and_go_skip_nothing_and_commit_nothing_unfinished(
    log_address: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    log, ledger = LogConnection(log_address), tmp_path / "ledger"
    await create_topics(log, TopicSettings(partitions=_PARTITIONS))
    async with following(log, EVENTS, partitions=_PARTITIONS) as follower:
        derived = Derived(follower)
        with (
            crew("normalize", log_address, tmp_path, ledger) as normalizers,
            crew("recordings", log_address, tmp_path, ledger) as downloaders,
        ):
            groups = [stage_group("normalize"), stage_group("recordings")]
            async with watched_offsets(log, groups, on_look=derived.hold) as watch:
                posting = asyncio.create_task(post(log, stopped := asyncio.Event()))
                await asyncio.gather(normalizers.change_again_and_again(), downloaders.change_again_and_again())
                stopped.set()
                deliveries, requests = await posting

                async def are_all_done() -> bool:
                    normalizers.replace_overslept()
                    downloaders.replace_overslept()
                    outcomes = await read_topic(log, RECORDINGS.name)
                    return derived.offsets_held == deliveries and len({record.key for record in outcomes}) == requests

                await eventually(are_all_done, timeout_s=90)
            await asyncio.gather(normalizers.leave_all(), downloaders.leave_all())
        await derived.read_on()
    record_property("records, requests", (deliveries, requests))
    record_property("records derived twice", derived.counts.total() - len(derived.counts))
    record_property("workers that came and went", [each.left for each in (normalizers, downloaders)])
    record_property("longest time in which nothing was derived, s", round(derived.longest_standstill_s, 1))
    record_property("workers cut short", cut_short := normalizers.cut_short + downloaders.cut_short)
    assert not watch.went_back
    assert len(derived.counts) == deliveries
    assert set(read_ledger(ledger)) == {f"s-{number} 1" for number in range(requests)}
    if not cut_short:
        assert set(derived.counts.values()) == {1}
        assert set(read_ledger(ledger).values()) == {1}


class Derived:
    """What was derived from each delivery so far, held against what was committed."""

    def __init__(self, follower: Follower) -> None:
        self.counts: Counter[str] = Counter()
        self._follower = follower
        self._held: dict[int, int] = {}
        self._last_at_s = 0.0
        self.longest_standstill_s = 0.0

    @property
    def offsets_held(self) -> int:
        """How many deliveries were committed, and found derived."""
        return sum(self._held.values())

    async def read_on(self) -> None:
        """Count what was derived meanwhile."""
        records = await self._follower.read_on()
        self.counts.update(record.header(CAUSE) or "" for record in records)
        if records or not self.counts:
            self._last_at_s = time.monotonic()
        self.longest_standstill_s = max(self.longest_standstill_s, time.monotonic() - self._last_at_s)

    async def hold(self, _group: str, committed: Committed) -> None:
        """Hold that all that is committed is done."""
        await self.read_on()
        for place, offset in committed.items():
            if place.topic != WEBHOOKS.name:
                continue
            for done in range(self._held.get(place.partition, 0), offset):
                position = Position(topic=place.topic, partition=place.partition, offset=done)
                assert str(position) in self.counts, f"{position} is committed, and not done"
            self._held[place.partition] = max(offset, self._held.get(place.partition, 0))


class Crew:
    """The workers of one stage."""

    def __init__(self, stage: str, log: str, folder: Path, ledger: Path) -> None:
        self._stage = stage
        self._log = log
        self._folder = folder
        self._ledger = ledger
        self._all: list[StageProcess] = []
        self._members: list[StageProcess] = []

    @property
    def left(self) -> int:
        """How many have come, been given partitions, and gone."""
        return sum(_has_worked(each) for each in self._all if each not in self._members)

    @property
    def cut_short(self) -> int:
        """How many could not finish what they had begun, on a machine that is too busy."""
        return sum("action=stop_cut_short" in each.logged or _has_overslept(each) for each in self._all)

    def join(self) -> None:
        """One more."""
        name = f"{self._stage}-{len(self._all)}"
        arguments = ("tests.faults.churn_member", self._stage, self._log, str(self._folder / name), str(self._ledger))
        self._all.append(StageProcess(*arguments, log_file=self._folder / f"{name}.log"))
        self._members.append(self._all[-1])

    async def change_again_and_again(self) -> None:
        """Every few seconds somebody joins, or leaves in order, until enough of them have come and gone."""
        leaving: list[asyncio.Task[None]] = []
        for change in itertools.count(1):
            due_s = time.monotonic() + _CHANGE_INTERVAL_S
            self.replace_overslept()
            if change % 2 and len(self._members) < _MOST_MEMBERS:
                self.join()
            else:
                leaving += [asyncio.create_task(self._leave(member)) for member in self._those_to_leave()]
            await asyncio.sleep(due_s - time.monotonic())
            if change >= _CHANGES and self.left >= _LEFT:
                break
        await asyncio.gather(*leaving)

    def replace_overslept(self) -> None:
        """Who was not let run for so long that it gave up is followed by another one, as a supervisor would see to."""
        for member in [each for each in self._members if _has_overslept(each)]:
            self._members.remove(member)
            self.join()

    async def leave_all(self) -> None:
        """None are left."""
        await asyncio.gather(*(self._leave(member) for member in list(self._members)))

    def _those_to_leave(self) -> list[StageProcess]:
        """Who has been there for longest, unless nobody else works yet."""
        working = [member for member in self._members if _has_worked(member)]
        return working[:1] if len(working) > 1 else []

    async def _leave(self, member: StageProcess) -> None:
        self._members.remove(member)
        status = await asyncio.to_thread(member.stop, limit_s=60)
        # The latter: before it had begun.
        assert status in {0, -signal.SIGTERM} or _has_overslept(member), member.logged[-2000:]

    def collect(self) -> None:
        """Make sure that all have ended."""
        for member in self._all:
            member.collect()


def _has_worked(member: StageProcess) -> bool:
    return "action=ready" in member.logged


def _has_overslept(member: StageProcess) -> bool:
    return member.has_ended and "so others have its partitions" in member.logged


@contextmanager
def crew(stage: str, log: str, folder: Path, ledger: Path) -> Iterator[Crew]:
    """A small crew, to begin with; gone when the block ends."""
    members = Crew(stage, log, folder, ledger)
    for _ in range(_MEMBERS):
        members.join()
    try:
        yield members
    finally:
        members.collect()


async def post(log: LogConnection, stopped: asyncio.Event) -> tuple[int, int]:
    """Append deliveries and requests until stopped; returns how many."""
    deliveries = requests = 0
    async with open_producer(log, max_batch_size=1024 * 1024) as producer:
        while not stopped.is_set():
            due_s = time.monotonic() + _TICK_S
            records = [delivery(number) for number in range(deliveries, deliveries + _DELIVERIES_A_TICK)]
            records += [request(number) for number in range(requests, requests + _REQUESTS_A_TICK)]
            await append(producer, records)
            deliveries, requests = deliveries + _DELIVERIES_A_TICK, requests + _REQUESTS_A_TICK
            await asyncio.sleep(due_s - time.monotonic())
    return deliveries, requests


def delivery(number: int) -> NewRecord:
    """One of many."""
    value = SLOW if number % _SLOW_DELIVERY == _SLOW_DELIVERY // 2 else b"quick"
    return NewRecord(topic=WEBHOOKS.name, key=f"s-{number}".encode(), value=value)


def request(number: int) -> NewRecord:
    """One of many, too."""
    speed = SLOW.decode() if number % _SLOW_REQUEST == _SLOW_REQUEST // 2 else "quick"
    asked = DownloadRecording(
        session_id=f"s-{number}", vendor="layercode", url=f"https://api.example/{RECORDING_REQUESTS.name}/{speed}"
    )
    return encode(asked, source="plan", time=AT)
