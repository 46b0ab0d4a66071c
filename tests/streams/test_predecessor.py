"""A process that was killed and is started again at once does not make the others of its group wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from postcall.log_connection import LogConnection
from postcall.stage_groups import read_stage_groups
from postcall.topics import EVENTS, WEBHOOKS
from streams.predecessor import client_id_of
from tests.streams.deliveries import deliver_message
from tests.streams.log_contents import PARTITIONS, append_all, count_records, read_all
from tests.streams.stage_process import stage_process
from tests.waiting import eventually

# Half of the session timeout: without the wait all stop until that has passed.
LONGEST_PAUSE_S = 5.0


def normalizer(log: str, data_dir: Path) -> tuple[str, ...]:
    return ("postcall", "streams", "--stage", "normalize", "--kafka", log, "--data-dir", str(data_dir))


async def has_members(log: str, count: int) -> bool:
    groups = {group.stage: group for group in await read_stage_groups(LogConnection(log))}
    return (groups["normalize"].state, groups["normalize"].members) == ("Stable", count)


def test_each_slot_of_each_machine_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert client_id_of("plan", tmp_path) == client_id_of("plan", tmp_path)
    assert client_id_of("plan", tmp_path) != client_id_of("plan", tmp_path / "1")
    assert client_id_of("plan", tmp_path) != client_id_of("normalize", tmp_path)


# The embedded log sees the end of a process on its own machine, and does not wait for its session.
@pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
async def test_the_others_go_on_while_a_killed_one_is_started_again(
    log: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    first, second = normalizer(log, tmp_path / "first"), normalizer(log, tmp_path / "second")
    (tmp_path / "first").mkdir()
    with stage_process(*first, log_file=tmp_path / "first.log"):
        with stage_process(*second, log_file=tmp_path / "second.log") as killed:
            await eventually(lambda: has_members(log, 2), timeout_s=40)
            killed.kill()
        began_at_s = time.monotonic()
        with stage_process(*second, log_file=tmp_path / "second.log") as restarted:
            await restarted.until_logged("action=slot_taken")
            sent = 0
            while not await has_members(log, 2) or time.monotonic() - began_at_s < LONGEST_PAUSE_S:
                await append_all(log, [deliver_message(sent + number) for number in range(20)])
                sent += 20
                await asyncio.sleep(0.2)
                assert time.monotonic() - began_at_s < 40
            await eventually(lambda: are_all_derived(log, sent), timeout_s=40)
    pauses_s = sorted(await longest_pauses_s(log))
    record_property("longest delay in seconds, by partition", pauses_s)
    # The survivor had half of them.
    assert pauses_s[PARTITIONS // 2 - 1] < LONGEST_PAUSE_S


async def are_all_derived(log: str, count: int) -> bool:
    return await count_records(log, EVENTS) >= count


async def longest_pauses_s(log: str) -> list[float]:
    """For each partition, how long its slowest record took to become an event."""
    sent = {str(record.position): record.timestamp_ms for record in await read_all(log, WEBHOOKS)}
    pauses = [0.0] * PARTITIONS
    for event in await read_all(log, EVENTS):
        waited_s = (event.timestamp_ms - sent[event.header("ce_causation") or ""]) / 1000
        pauses[event.partition] = max(pauses[event.partition], waited_s)
    return pauses
