"""An attempt at a generation: what it derives, where the next one begins, and what is left where it does not."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from postcall.dead_letters import DeadLetter
from postcall.decisions import CutOver, GenerationPromoted
from postcall.errors import PostcallError
from postcall.generations import Generation, GenerationReplaced, read_generation, watch_generation
from postcall.kafka import open_admin
from postcall.known_log.identity import read_identity
from postcall.log import encode, open_record
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.settings import Configuration, Settings
from postcall.supervisor import postcall_command
from postcall.topic_creation import compare_topics, create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import (
    ANALYSIS_REQUESTS,
    DEAD_LETTERS,
    EVENTS,
    RECORDING_REQUESTS,
    WEBHOOKS,
    events_topic,
    stage_group,
)
from streams.appender import Appender
from streams.group_offsets import commit_for_group
from streams.replay import events_cut_over
from streams.replay.dead_letters_retry import Retrial
from streams.replay.events_attempt import Attempt, derive_and_compare, promote
from streams.replay.events_cut_over import NotSettled, read_ends, until_planned
from streams.replay.events_derivation import Rederivation
from streams.replay.events_topic import delete_topic, make_topic
from streams.stages import build_stage
from tests.docs.test_readme import shown_on
from tests.streams.deliveries import read_back
from tests.streams.log_contents import PARTITIONS, append_all, count_records, read_all, read_ids
from tests.streams.replay.older_rules import GARBAGE, delivered, derive_older, ended, monologue, updated
from tests.streams.running import running
from tests.waiting import eventually

PAGE = (Path(__file__).parents[3] / "docs" / "replay-events.md").read_text("utf-8")
#: The schema is part of what is sent, and other releases of Pydantic write it at another length.
_ESTIMATE = re.compile(r"about [\d.]+ USD: \d+ tokens in")
pytestmark = pytest.mark.timeout(240)

_PROMOTED = GenerationPromoted(
    generation=2, cut_over=CutOver(webhooks={0: 3}, events={0: 4}), at=datetime(2026, 11, 21, tzinfo=UTC), counts={}
)
_DELIVERIES = [*map(delivered, (ended(1), updated(1), monologue(2), ended(3))), GARBAGE]


class _Log:
    """A log whose events an older normalizer derived, and the stages and attempts that work on it."""

    def __init__(self, address: str, data_dir: Path) -> None:
        self.address = address
        self.connection = LogConnection(address)
        self.data_dir = data_dir
        self.configuration = Configuration(flags={"data_dir": data_dir, "kafka": address})

    async def derive_older(self) -> None:
        await derive_older(self.address, _DELIVERIES, events=3, directory=self.data_dir / "stages")

    @contextlib.asynccontextmanager
    async def stage(self, name: str, generation: Generation | None = None) -> AsyncIterator[None]:
        stage = build_stage(name, self.configuration, self.data_dir / "stages", generation=generation)
        async with running(stage, log=self.address, data_dir=self.data_dir / "stages"):
            yield

    async def plan(self) -> None:
        """Let the older events be planned: three calls to analyze, and no recording."""
        async with self.stage("plan"):
            await eventually(partial(self.has, ANALYSIS_REQUESTS.name, 3), timeout_s=60)

    async def attempt(self) -> Attempt:
        return await derive_and_compare(self.connection, self.configuration, _show_nothing)

    async def promote(self, attempt: Attempt) -> str | None:
        return await promote(attempt, self.connection, self.configuration.read(Settings), _show_nothing)

    async def has(self, topic: str, count: int) -> bool:
        known = {each.name: each for each in (EVENTS, events_topic(2), ANALYSIS_REQUESTS)}
        return await count_records(self.address, known[topic]) >= count

    async def topics(self) -> list[str]:
        async with open_admin(self.connection) as admin:
            return list(await admin.list_topics())

    async def append(self, *records: NewRecord) -> None:
        await append_all(self.address, records)


@contextlib.contextmanager
def _show_nothing(_what: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda _completed, _total: None


@pytest.fixture
async def past(log: str, tmp_path: Path) -> _Log:
    """A log on which the older normalizer and the plan have done all there was."""
    past = _Log(log, tmp_path / "data")
    past.data_dir.mkdir()
    await past.derive_older()
    return past


@pytest.mark.both_logs
async def test_a_generation_is_what_todays_stage_derives_and_nothing_of_it_is_planned(past: _Log) -> None:
    await past.plan()
    attempt = await past.attempt()
    (sessions, transcripts) = (
        next(table for table in attempt.differences if table.table == name) for name in ("sessions", "transcripts")
    )
    assert (sessions.rows_before, sessions.rows_after) == (3, 3)
    assert (transcripts.changed, transcripts.columns, transcripts.examples) == (2, {"role": 2}, ("s-1", "s-3"))
    assert (transcripts.only_before, transcripts.only_after) == (0, 0)
    assert await past.promote(attempt) is None, "no warehouse is kept there"
    live = await read_generation(past.connection)
    assert live.number == 2
    assert sum(live.webhooks.values()) == len(_DELIVERIES)
    assert sum(live.events.values()) == 4
    async with past.stage("plan", live), past.stage("normalize", live):
        await past.append(delivered(monologue(7)))
        await eventually(partial(past.has, ANALYSIS_REQUESTS.name, 4), timeout_s=60)
    assert await count_records(past.address, ANALYSIS_REQUESTS) == 4
    assert await count_records(past.address, RECORDING_REQUESTS) == 0
    (letter,) = {open_record(record).message for record in await read_all(past.address, DEAD_LETTERS)}
    assert isinstance(letter, DeadLetter), "the same one as the stage's: known already"
    live_ids = await read_ids(past.address, events_topic(2))
    assert len(live_ids) == len(set(live_ids)) == 5


async def test_what_comes_between_comparison_and_switch_is_derived_by_both_and_asked_for_once(past: _Log) -> None:
    await past.plan()
    attempt = await past.attempt()
    async with past.stage("normalize"), past.stage("plan"):
        await past.append(delivered(monologue(8)))
        await eventually(partial(past.has, ANALYSIS_REQUESTS.name, 4), timeout_s=60)
        await eventually(partial(_has_committed, past, len(_DELIVERIES) + 1), timeout_s=60)
    # Its delivery is read again by a stage that begins a little earlier.
    await past.promote(attempt)
    live = await read_generation(past.connection)
    for stage, topic, offsets in (("normalize", WEBHOOKS, live.webhooks), ("plan", live.topic, live.events)):
        early = {partition: max(0, offset - 1) for partition, offset in offsets.items()}
        assert await commit_for_group(past.connection, stage_group(stage, 2), topic, early)
    planned = set(await read_ids(past.address, ANALYSIS_REQUESTS))
    async with past.stage("normalize", live), past.stage("plan", live):
        await past.append(delivered(monologue(9)))
        await eventually(partial(_asks_for, past, len(planned) + 1), timeout_s=60)
    ids = await read_ids(past.address, events_topic(2))
    assert len(ids) > len(set(ids)) == 6, "derived twice, and the same events"


async def test_nothing_takes_over_while_events_are_not_planned(past: _Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_cut_over, "_STANDSTILL_LIMIT_S", 0.0)
    with pytest.raises(NotSettled, match="plan has 3 events"):
        await until_planned(past.connection, Generation())


async def test_without_a_stage_that_has_read_nothing_is_derived(log: str, tmp_path: Path) -> None:
    past = _Log(log, tmp_path)
    await past.append(*_DELIVERIES)
    with pytest.raises(NotSettled, match="knows of no"):
        await past.attempt()


@pytest.mark.both_logs
async def test_what_a_killed_attempt_left_is_deleted_and_what_is_somebody_elses_or_live_is_not(log: str) -> None:
    """What was left may be another normalizer's."""
    connection = LogConnection(log)
    left = await make_topic(connection, 2, TopicSettings())
    await append_all(log, [NewRecord(topic=events_topic(2).name, key=b"s", value=b"{}")])
    made = await make_topic(connection, 2, TopicSettings())
    assert await count_records(log, events_topic(2)) == 0
    with pytest.raises(PostcallError, match="made anew meanwhile"):
        await read_ends(connection, events_topic(2), topic_id=left)
    await delete_topic(connection, 2, topic_id=left)
    assert await read_ends(connection, events_topic(2), topic_id=made) == dict.fromkeys(range(PARTITIONS), 0)
    await append_all(log, [encode(_PROMOTED, source="replay", time=_PROMOTED.at)])
    with pytest.raises(PostcallError, match="has just become the live one"):
        await delete_topic(connection, 2, topic_id=made)
    await make_topic(connection, 3, TopicSettings())
    await delete_topic(connection, 3)
    async with open_admin(connection) as admin:
        assert {events_topic(2).name, events_topic(3).name} & set(await admin.list_topics()) == {events_topic(2).name}


async def test_who_runs_in_an_earlier_generation_is_told_of_the_next(log: str) -> None:
    connection = LogConnection(log)
    assert await read_generation(connection) == Generation()
    watching = asyncio.create_task(watch_generation(connection, 1))
    await create_topics(connection, TopicSettings(), names=[events_topic(2).name])
    assert (await compare_topics(connection, TopicSettings())).states[-1].name == events_topic(2).name
    await append_all(log, [encode(_PROMOTED, source="replay", time=_PROMOTED.at)])
    with pytest.raises(GenerationReplaced) as told:
        await asyncio.wait_for(watching, 60)
    live = await read_generation(connection)
    assert told.value.live == live == Generation(number=2, webhooks={0: 3}, events={0: 4})
    assert (live.begin(WEBHOOKS.name, 0), live.begin(live.topic.name, 0), live.begin(WEBHOOKS.name, 1)) == (3, 4, 0)
    with pytest.raises(GenerationReplaced):
        # As after a restore of an older log: it goes back as well.
        await watch_generation(connection, 3)


async def test_what_our_own_code_cannot_read_is_set_aside_and_named(log: str) -> None:
    def broken(_record: object) -> list[NewRecord]:
        raise ZeroDivisionError

    rederivation, connection = Rederivation(broken), LogConnection(log)
    await append_all(log, _DELIVERIES)
    ends = (await read_identity(connection)).topics[WEBHOOKS.name].partitions
    await rederivation.derive_up_to(
        {number: held.end for number, held in enumerate(ends)},
        log=connection,
        appender=Appender(connection),
        on_progress=lambda _: None,
    )
    assert rederivation.reasons == {"bug": len(_DELIVERIES)}


def test_dead_letters_are_tried_again_in_the_live_generation() -> None:
    retrial = Retrial.of_today(Configuration(), generation=2)
    (event,) = retrial.derivations["normalize"](read_back(delivered(monologue(1))))
    assert event.topic == events_topic(2).name


async def test_where_nobody_can_be_asked_the_command_wants_a_yes(log: str, tmp_path: Path) -> None:
    past = _Log(log, tmp_path / "data")
    done = await _run_command(past)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--dry-run" in done.stderr
    assert not past.data_dir.exists()


async def test_a_dry_run_prints_what_the_page_shows_and_leaves(past: _Log) -> None:
    ((command, shown),) = shown_on(PAGE)
    done = await _run_command(past, *shlex.split(command)[3:])
    assert [_ESTIMATE.sub("ESTIMATE", line) for line in (done.stdout + done.stderr).splitlines()] == [
        _ESTIMATE.sub("ESTIMATE", line) for line in shown
    ]
    assert done.returncode == 0
    assert events_topic(2).name not in await past.topics()


async def _run_command(past: _Log, *options: str) -> subprocess.CompletedProcess[str]:
    command = postcall_command("replay", "events", "--kafka", past.address, "--data-dir", str(past.data_dir), *options)
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


async def _has_committed(past: _Log, deliveries: int) -> bool:
    return sum((await events_cut_over.read_frontier(past.connection, Generation())).values()) >= deliveries


async def _asks_for(past: _Log, count: int) -> bool:
    return len(set(await read_ids(past.address, ANALYSIS_REQUESTS))) >= count
