"""Making and comparing topics, on any log; `tests/security` has those who may not."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess

import pytest
from aiokafka.admin import NewTopic

from postcall.errors import TopicsRefused
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.supervisor import postcall_command
from postcall.topic_creation import TOPIC_NAMES, DifferenceLog, compare_topics, create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import WEBHOOKS

WANTED = TopicSettings(partitions=2, retention_days=30)


async def make_by_hand(log: LogConnection, name: str, *, partitions: int = 2, **configs: str) -> None:
    """A topic that somebody else made."""
    topic = NewTopic(name, partitions, 1, topic_configs={key.replace("_", "."): each for key, each in configs.items()})
    async with open_admin(log) as admin:
        await admin.create_topics([topic])


@pytest.mark.both_logs
async def test_topics_are_made_as_wanted(log_address: str) -> None:
    log = LogConnection(log_address)
    made = await create_topics(log, WANTED)
    assert (made.made, made.missing, made.differences) == (TOPIC_NAMES, (), ())
    again = await create_topics(log, WANTED)
    assert (again.made, again.differences, again.uncompared) == ((), (), ())
    assert [state.name for state in again.states] == [*TOPIC_NAMES]
    assert {(state.partitions, state.replication_factor) for state in again.states} == {(2, 1)}


@pytest.mark.both_logs
async def test_of_several_who_make_them_at_once_none_fails(log_address: str) -> None:
    log = LogConnection(log_address)
    reports = await asyncio.gather(*(create_topics(log, WANTED) for _ in range(4)))
    assert {name for report in reports for name in report.made} == {*TOPIC_NAMES}
    assert not any(report.differences for report in reports)


@pytest.mark.both_logs
async def test_a_topic_that_differs_is_told_and_left_as_it_is(log_address: str) -> None:
    log = LogConnection(log_address)
    await make_by_hand(log, WEBHOOKS.name, partitions=1, retention_ms="604800000")
    for _ in range(2):
        report = await create_topics(log, WANTED)
        differences = {(each.topic, each.setting): (each.found, each.wanted) for each in report.differences}
        assert differences.pop((WEBHOOKS.name, "partitions")) == ("1", "2")
        assert differences.pop((WEBHOOKS.name, "retention.ms")) == ("604800000", "2592000000")
        # Apache Kafka's own default differs in two more; nothing differs in another topic.
        assert {topic for topic, _ in differences} <= {WEBHOOKS.name}


@pytest.mark.both_logs
async def test_only_the_topics_that_are_named_are_made(log_address: str) -> None:
    log = LogConnection(log_address)
    assert (await create_topics(log, WANTED, names=[WEBHOOKS.name])).made == (WEBHOOKS.name,)
    compared = await compare_topics(log, WANTED)
    assert set(compared.missing) == {*TOPIC_NAMES} - {WEBHOOKS.name}
    assert compared.made == ()


@pytest.mark.both_logs
async def test_more_replicas_than_brokers_are_refused_with_the_setting(log_address: str) -> None:
    with pytest.raises(TopicsRefused, match="POSTCALL_REPLICATION_FACTOR"):
        await create_topics(LogConnection(log_address), TopicSettings(replication_factor=3))


async def test_a_difference_is_logged_once(log_address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "postcall.topic_creation")
    log, differences = LogConnection(log_address), DifferenceLog()
    await make_by_hand(log, WEBHOOKS.name, partitions=1)
    for _ in range(3):
        differences.tell((await create_topics(log, WANTED)).differences)
    told = [record.message.partition(". ")[0] for record in caplog.records]
    assert told == [
        f"{WEBHOOKS.name}: partitions is 1, wanted 2",
        f"{WEBHOOKS.name}: retention.ms is -1, wanted 2592000000",
    ]


def run_topics(*options: str) -> tuple[int, str]:
    """Exit code and output of `postcall topics`."""
    ended = subprocess.run(postcall_command("topics", *options), capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout


@pytest.mark.both_logs
@pytest.mark.parametrize(("option", "code", "state"), [("--check", 1, "missing"), ("--create", 0, "made")])
def test_the_command_makes_topics_or_only_looks(log_address: str, option: str, code: int, state: str) -> None:
    exit_code, printed = run_topics("--kafka", log_address, "--json", option)
    assert exit_code == code
    assert [(topic["name"], topic["state"]) for topic in json.loads(printed)] == [(name, state) for name in TOPIC_NAMES]


@pytest.mark.both_logs
def test_the_command_is_content_with_what_it_made(log_address: str) -> None:
    assert run_topics("--kafka", log_address, "--create")[0] == 0
    exit_code, printed = run_topics("--kafka", log_address, "--json", "--check")
    assert (exit_code, {topic["state"] for topic in json.loads(printed)}) == (0, {"there"})


@pytest.mark.both_logs
@pytest.mark.parametrize(("option", "code"), [("--create", 0), ("--check", 1)])
async def test_the_command_reports_a_difference_and_fails_only_where_it_checks(
    log_address: str, option: str, code: int
) -> None:
    await make_by_hand(LogConnection(log_address), WEBHOOKS.name, partitions=1)
    exit_code, printed = await asyncio.to_thread(run_topics, "--kafka", log_address, option)
    assert exit_code == code
    assert f"{WEBHOOKS.name}: partitions is 1, wanted 4." in printed


def test_to_make_and_only_to_look_exclude_each_other() -> None:
    assert run_topics("--create", "--check")[0] == 2
