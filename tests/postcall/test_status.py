"""`postcall status` where services run one by one: the log alone is asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from postcall.kafka import append, open_consumer, open_producer
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.stage_groups import read_stage_groups
from postcall.supervisor import postcall_command
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import STAGE_INPUTS, WEBHOOKS, stage_group
from tests.waiting import eventually


async def ask_status(directory: Path, *options: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *postcall_command("status", "--data-dir", str(directory), *options),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def read_status(directory: Path, log_address: str) -> dict[str, Any]:
    code, out, _ = await ask_status(directory, "--kafka", log_address, "--json")
    assert code == 0
    told: dict[str, Any] = json.loads(out)
    assert told["log"] == log_address
    return {stage["stage"]: stage for stage in told["stages"]}


@pytest.mark.both_logs
async def test_lag_and_members_are_told_without_a_pipeline(log_address: str, tmp_path: Path) -> None:
    log = LogConnection(log_address)
    await create_topics(log, TopicSettings(partitions=2))
    async with open_producer(log) as producer:
        await append(producer, [NewRecord(topic=WEBHOOKS.name, key=b"s-1", value=b"{}", headers=())] * 3)
    async with open_consumer(log, group_id=stage_group("normalize")) as member:
        member.subscribe([WEBHOOKS.name])
        await eventually(lambda: bool(member.assignment()))
        told = await read_status(tmp_path, log_address)
    assert told.keys() == STAGE_INPUTS.keys()
    assert (told["normalize"]["lag"], told["normalize"]["group"], told["normalize"]["members"]) == (3, "Stable", 1)
    assert (told["plan"]["lag"], told["plan"]["members"]) == (0, 0)


@pytest.mark.both_logs
async def test_a_group_that_nobody_joined_has_no_members(log_address: str) -> None:
    groups = await read_stage_groups(LogConnection(log_address))
    assert {group.stage: group.members for group in groups} == dict.fromkeys(STAGE_INPUTS, 0)


async def test_people_see_a_table(log_address: str, tmp_path: Path) -> None:
    _, out, _ = await ask_status(tmp_path, "--kafka", log_address)
    assert log_address in out
    assert all(stage in out for stage in STAGE_INPUTS)


async def test_a_log_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    code, out, err = await ask_status(tmp_path, "--kafka", "127.0.0.1:1")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
