"""A stage reads on only in the log that it knows, or that was accepted."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from postcall.kafka import open_producer
from postcall.lag import read_log_state
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import EVENTS, RECORDING_REQUESTS, RECORDINGS, WEBHOOKS
from streams.normalize import normalize
from streams.transform import TransformStage
from tests.logs.embedded import embedded_log
from tests.streams.deliveries import deliver_message
from tests.streams.held import may_be_held
from tests.streams.ledger_worker import LedgerWorker, make_stage, read_ledger
from tests.streams.log_contents import PARTITIONS, append_all, count_records, read_all
from tests.streams.requests import request_record
from tests.streams.running import running
from tests.waiting import eventually

pytestmark = pytest.mark.both_logs

NORMALIZE = partial(normalize, sources=load_sources(Configuration()))


class ForgottenGroup(TransformStage):
    """The stage once Kafka has forgotten what its group had committed."""

    @property
    def group(self) -> str:
        return "postcall.forgotten"


def stage_of(log: str, data_dir: Path, kind: type[TransformStage] = TransformStage) -> TransformStage:
    return kind("normalize", NORMALIZE, log=LogConnection(log), directory=data_dir)


async def has_events(log: str, count: int) -> bool:
    return await count_records(log, EVENTS) >= count


async def normalize_all(log: str, data_dir: Path, numbers: range) -> None:
    """Deliver these, and let a stage derive their events."""
    await append_all(log, [deliver_message(number) for number in numbers])
    async with running(stage_of(log, data_dir), log=log, data_dir=data_dir):
        await eventually(lambda: has_events(log, len(numbers)))


@pytest.fixture
async def other_log(tmp_path: Path) -> AsyncIterator[str]:
    with embedded_log(tmp_path / "other") as address:
        await create_topics(LogConnection(address), TopicSettings(partitions=PARTITIONS))
        yield address


async def put_at_their_places(log: str, records: Sequence[Record]) -> None:
    async with open_producer(LogConnection(log)) as producer:
        for record in records:
            await producer.send(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                partition=record.partition,
            )


async def test_a_new_group_begins_at_the_start_and_says_so(
    log: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await normalize_all(log, tmp_path, range(5))
        async with running(stage_of(log, tmp_path), log=log, data_dir=tmp_path):
            pass
    begun = [record for record in caplog.records if getattr(record, "action", None) == "group_begun"]
    assert len(begun) == 1
    assert "0 records before it are not there any more" in begun[0].getMessage()


async def test_a_group_whose_offsets_were_forgotten_goes_on_from_the_positions_of_its_stage(
    log: str, tmp_path: Path
) -> None:
    await normalize_all(log, tmp_path, range(50))
    await append_all(log, [deliver_message(number) for number in range(50, 60)])
    async with running(stage_of(log, tmp_path, ForgottenGroup), log=log, data_dir=tmp_path):
        await eventually(lambda: has_events(log, 60))
    assert await count_records(log, EVENTS) == 60


async def test_a_lost_witness_changes_nothing(log: str, tmp_path: Path) -> None:
    await normalize_all(log, tmp_path, range(50))
    async with running(stage_of(log, tmp_path / "another-machine"), log=log, data_dir=tmp_path / "another-machine"):
        await append_all(log, [deliver_message(number) for number in range(50, 60)])
        await eventually(lambda: has_events(log, 60))
    # Behind its group, which another machine has taken further, and then ahead of nobody.
    async with running(stage_of(log, tmp_path), log=log, data_dir=tmp_path):
        pass
    assert await count_records(log, EVENTS) == 60


@pytest.mark.parametrize("count", [3, 400])
async def test_another_log_is_read_from_its_beginning_once_it_is_accepted(
    log: str, other_log: str, tmp_path: Path, count: int
) -> None:
    await normalize_all(log, tmp_path, range(100))
    await append_all(other_log, [deliver_message(number) for number in range(1000, 1000 + count)])
    async with may_be_held(stage_of(other_log, tmp_path), log=other_log, data_dir=tmp_path) as told:
        findings = await told.until_held()
        assert {finding.kind for finding in findings} == {"made_anew"}
        assert await count_records(other_log, EVENTS) == 0
        told.accept()
        await told.until_ready()
        await eventually(lambda: has_events(other_log, count))
    assert len(told.reasons) == 1
    async with may_be_held(stage_of(other_log, tmp_path), log=other_log, data_dir=tmp_path) as told:
        await told.until_ready()
    assert await count_records(other_log, EVENTS) == count


async def test_a_copy_of_the_log_is_gone_on_with_where_the_stage_was(log: str, other_log: str, tmp_path: Path) -> None:
    await normalize_all(log, tmp_path, range(100))
    await put_at_their_places(other_log, await read_all(log, WEBHOOKS))
    await append_all(other_log, [deliver_message(1000)])
    async with may_be_held(stage_of(other_log, tmp_path), log=other_log, data_dir=tmp_path) as told:
        assert {finding.kind for finding in await told.until_held()} == {"copied"}
        told.accept()
        await eventually(lambda: has_events(other_log, 1))
    assert await count_records(other_log, EVENTS) == 1


async def test_an_acceptance_is_good_for_one_other_log(log: str, other_log: str, tmp_path: Path) -> None:
    await normalize_all(log, tmp_path, range(20))
    async with may_be_held(stage_of(other_log, tmp_path), log=other_log, data_dir=tmp_path) as told:
        await told.until_held()
        told.accept()
        await told.until_ready()
        await append_all(other_log, [deliver_message(number) for number in range(200, 210)])
        await eventually(lambda: has_events(other_log, 10))
    async with may_be_held(stage_of(log, tmp_path), log=log, data_dir=tmp_path) as told:
        assert {finding.kind for finding in await told.until_held()} == {"made_anew"}


async def test_topics_with_unequal_partitions_are_read_once_that_is_accepted(log_address: str, tmp_path: Path) -> None:
    connection = LogConnection(log_address)
    await create_topics(connection, TopicSettings(partitions=2), names=(WEBHOOKS.name,))
    await create_topics(connection, TopicSettings(partitions=4))
    await append_all(log_address, [deliver_message(number) for number in range(5)])
    async with may_be_held(stage_of(log_address, tmp_path), log=log_address, data_dir=tmp_path) as told:
        assert [finding.kind for finding in await told.until_held()] == ["unequal_partitions"]
        told.accept()
        await eventually(lambda: has_events(log_address, 5))


async def test_a_work_index_of_another_log_is_made_again_once_it_is_accepted(
    log: str, other_log: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    await append_all(log, [request_record(number) for number in range(20)])
    async with running(make_stage(LedgerWorker(ledger), log=log, data_dir=tmp_path), log=log, data_dir=tmp_path):
        await eventually(lambda: len(read_ledger(ledger)) == 20)
    await append_all(other_log, [request_record(number) for number in range(10, 30)])
    stage = make_stage(LedgerWorker(ledger), log=other_log, data_dir=tmp_path)
    async with may_be_held(stage, log=other_log, data_dir=tmp_path) as told:
        findings = await told.until_held()
        assert {(finding.kind, finding.topic) for finding in findings} >= {("made_anew", RECORDING_REQUESTS.name)}
        assert sum(read_ledger(ledger).values()) == 20
        told.accept()

        async def has_outcomes() -> bool:
            return await count_records(other_log, RECORDINGS) >= 20

        await eventually(has_outcomes)
    assert sum(read_ledger(ledger).values()) == 40


async def test_a_held_stage_holds_no_place_in_its_group(log: str, other_log: str, tmp_path: Path) -> None:
    await normalize_all(log, tmp_path, range(20))
    await append_all(other_log, [deliver_message(number) for number in range(5)])
    async with may_be_held(stage_of(other_log, tmp_path), log=other_log, data_dir=tmp_path) as told:
        await told.until_held()
        state = await read_log_state(LogConnection(other_log))
        assert {stage.stage: stage.lag for stage in state.stages}["normalize"] == 5
        # Another machine, which knows nothing of the log before, does the work meanwhile.
        elsewhere = tmp_path / "another-machine"
        async with running(stage_of(other_log, elsewhere), log=other_log, data_dir=elsewhere):
            await eventually(lambda: has_events(other_log, 5))
