"""What only Apache Kafka does behind a stage's back: retention, more partitions, a topic made anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from postcall.kafka import open_admin, open_consumer
from postcall.known_log.acceptance import read_held
from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ALL_TOPICS, EVENTS, WEBHOOKS
from streams.errors import StageCrashed
from tests.streams.deliveries import deliver_message
from tests.streams.held import accept, may_be_held
from tests.streams.log_contents import PARTITIONS, append_all, count_records
from tests.streams.stage_process import stage_process
from tests.streams.test_known_log import has_events, normalize_all, stage_of
from tests.waiting import eventually

pytestmark = pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)

PLACES = [TopicPartition(WEBHOOKS.name, partition) for partition in range(PARTITIONS)]


async def ends_of(log: str) -> dict[TopicPartition, int]:
    async with open_consumer(LogConnection(log)) as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(PLACES)
    return ends


async def delete_before(log: str, offsets: dict[TopicPartition, int]) -> None:
    async with open_admin(LogConnection(log)) as admin:
        await admin.delete_records({place: RecordsToDelete(before_offset=end) for place, end in offsets.items()})


async def make_webhooks_anew(log: str) -> None:
    async with open_admin(LogConnection(log)) as admin:
        await admin.delete_topics([WEBHOOKS.name])

    async def is_made() -> bool:
        report = await create_topics(LogConnection(log), TopicSettings(partitions=PARTITIONS))
        return WEBHOOKS.name in report.made

    await eventually(is_made)


async def test_unread_records_that_retention_took_are_told_and_gone_on_after(log: str, tmp_path: Path) -> None:
    await normalize_all(log, tmp_path, range(100))
    read = await ends_of(log)
    await append_all(log, [deliver_message(number) for number in range(100, 200)])
    begins = await ends_of(log)
    await delete_before(log, begins)
    await append_all(log, [deliver_message(number) for number in range(200, 210)])
    async with may_be_held(stage_of(log, tmp_path), log=log, data_dir=tmp_path) as told:
        findings = await told.until_held()
        assert {(each.kind, each.partition, each.from_offset, each.to_offset, each.count) for each in findings} == {
            ("records_lost", place.partition, read[place], begin, begin - read[place])
            for place, begin in begins.items()
            if begin > read[place]
        }
        told.accept()
        await eventually(lambda: has_events(log, 110))
    assert await count_records(log, EVENTS) == 110


async def test_what_retention_took_after_it_was_read_is_no_loss(log: str, tmp_path: Path) -> None:
    await normalize_all(log, tmp_path, range(100))
    await delete_before(log, await ends_of(log))
    await append_all(log, [deliver_message(number) for number in range(100, 110)])
    async with may_be_held(stage_of(log, tmp_path), log=log, data_dir=tmp_path) as told:
        await told.until_ready()
        await eventually(lambda: has_events(log, 110))


async def test_more_partitions_are_noticed_by_a_running_stage_and_read_once_accepted(log: str, tmp_path: Path) -> None:
    await normalize_all(log, tmp_path, range(20))
    async with may_be_held(stage_of(log, tmp_path), log=log, data_dir=tmp_path, watch_interval_s=0.5) as told:
        await told.until_ready()
        async with open_admin(LogConnection(log)) as admin:
            await admin.create_partitions({topic.name: NewPartitions(total_count=6) for topic in ALL_TOPICS})
        failure = await told.until_ended()
    assert isinstance(failure, StageCrashed)
    assert "6 partitions now" in str(failure)
    await append_all(log, [deliver_message(number) for number in range(20, 100)])
    async with may_be_held(stage_of(log, tmp_path), log=log, data_dir=tmp_path) as told:
        assert [(each.kind, each.count) for each in await told.until_held()] == [("more_partitions", 2)]
        told.accept()
        await told.until_ready()

        async def has_all_events() -> bool:
            return await count_records(log, EVENTS, partitions=6) >= 100

        await eventually(has_all_events)


async def test_a_topic_made_anew_under_a_running_stage_ends_its_process_once_and_then_holds_it(
    log: str, tmp_path: Path
) -> None:
    await normalize_all(log, tmp_path / "streams" / "0", range(100))
    # In a process of its own, since a consumer that fails leaves a thread of Faust behind.
    command = ("postcall", "streams", "--stage", "normalize", "--data-dir", str(tmp_path), "--kafka", log)
    with stage_process(*command, log_file=tmp_path / "stage.log") as stage:
        await stage.until_logged("Stage is ready")
        await make_webhooks_anew(log)
        await eventually(lambda: stage.has_ended, timeout_s=60)
    await append_all(log, [deliver_message(number) for number in range(500, 1000)])
    with stage_process(*command, log_file=tmp_path / "stage.log") as stage:
        await stage.until_logged("Held until this is accepted with: postcall log accept")
        (held,) = read_held(tmp_path)
        assert {(each.kind, each.topic) for each in held.findings} == {("made_anew", WEBHOOKS.name)}
        assert await count_records(log, EVENTS) == 100
        accept(tmp_path)
        await eventually(lambda: has_events(log, 600))
        assert stage.stop() == 0
