"""Stages as processes: killed, stopped, and started before their log."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest

from postcall.log_connection import LogConnection
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import EVENTS, RECORDINGS
from streams.normalize import normalize
from tests.broker.log_process import LogProcess, running_log
from tests.streams.deliveries import deliver_message, read_back
from tests.streams.ledger_worker import read_ledger
from tests.streams.log_contents import PARTITIONS, append_all, count_records, read_ids
from tests.streams.requests import download, request_record, stored
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

NORMALIZE = partial(normalize, sources=load_sources(Configuration()))


def normalizer(log: str, data_dir: Path) -> tuple[str, ...]:
    return ("postcall", "streams", "--stage", "normalize", "--kafka", log, "--data-dir", str(data_dir))


def expected_ids(count: int) -> set[str | None]:
    derived = [NORMALIZE(read_back(deliver_message(number))) for number in range(count)]
    return {read_back(record).header("ce_id") for records in derived for record in records}


async def has_events(log: str, count: int) -> bool:
    return await count_records(log, EVENTS) >= count


async def has_all_ids(log: str, wanted: set[str | None]) -> bool:
    return wanted <= set(await read_ids(log, EVENTS))


@pytest.mark.both_logs
async def test_a_stage_killed_in_mid_batch_loses_nothing(log: str, tmp_path: Path) -> None:
    total, wanted = 4000, expected_ids(4000)
    await append_all(log, [deliver_message(number) for number in range(total)])
    for events_before_the_kill in (300, 1800):
        with stage_process(*normalizer(log, tmp_path), log_file=tmp_path / "log") as process:
            await eventually(partial(has_events, log, events_before_the_kill), timeout_s=40)
            process.kill()
    assert await count_records(log, EVENTS) < total, "it was killed too late to prove anything"
    with stage_process(*normalizer(log, tmp_path), log_file=tmp_path / "log"):
        await eventually(partial(has_events, log, total), timeout_s=60)
        await eventually(partial(has_all_ids, log, wanted))
    assert set(await read_ids(log, EVENTS)) == wanted


async def test_a_stage_stops_within_ten_seconds_under_load_and_loses_nothing(log: str, tmp_path: Path) -> None:
    total, wanted = 4000, expected_ids(4000)
    await append_all(log, [deliver_message(number) for number in range(total)])
    with stage_process(*normalizer(log, tmp_path), log_file=tmp_path / "log") as process:
        await eventually(partial(has_events, log, 300), timeout_s=40)
        assert process.stop(limit_s=10) == 0
    derived = await count_records(log, EVENTS)
    assert derived < total
    with stage_process(*normalizer(log, tmp_path), log_file=tmp_path / "log"):
        await eventually(partial(has_events, log, total), timeout_s=60)
    ids = await read_ids(log, EVENTS)
    assert set(ids) == wanted
    assert len(ids) == total, "an ordered stop repeats nothing"


@pytest.mark.parametrize("delay_s", [0.45, 0.6])
async def test_a_stop_during_start_up_ends_the_process(log: str, tmp_path: Path, delay_s: float) -> None:
    with stage_process(*normalizer(log, tmp_path), log_file=tmp_path / "log") as process:
        await asyncio.sleep(delay_s)  # there is nothing to wait for: any moment of the start-up will do
        assert process.stop(limit_s=10) in {0, -signal.SIGTERM}


async def test_a_stage_waits_for_its_log_and_says_so_once(tmp_path: Path) -> None:
    with running_log(tmp_path / "d") as first:
        port, address = first.port, first.address
        first.stop()
    with stage_process(*normalizer(address, tmp_path), log_file=tmp_path / "log") as process:
        await process.until_logged("action=log_awaited")
        with running_log(tmp_path / "d", port=port):
            await create_topics(LogConnection(address), TopicSettings(partitions=PARTITIONS))
            await append_all(address, [deliver_message(1)])
            await eventually(partial(has_events, address, 1), timeout_s=40)
            assert process.stop() == 0
        assert process.logged.count("action=log_awaited") == 1


async def test_a_stage_survives_the_death_of_its_log(tmp_path: Path) -> None:
    """It waits, or it ends with a reason and is started again; nothing is lost."""
    total, wanted = 2000, expected_ids(2000)
    log = LogProcess(tmp_path / "d")
    await create_topics(LogConnection(log.address), TopicSettings(partitions=PARTITIONS))
    await append_all(log.address, [deliver_message(number) for number in range(total)])
    start = partial(StageProcess, *normalizer(log.address, tmp_path), log_file=tmp_path / "log")
    process = start()
    try:
        await eventually(partial(has_events, log.address, 300), timeout_s=40)
        log.kill()
        with running_log(tmp_path / "d", port=log.port):

            async def is_done() -> bool:
                nonlocal process
                if process.has_ended:
                    process = start()
                return await has_all_ids(log.address, wanted)

            await eventually(is_done, timeout_s=80)
            assert set(await read_ids(log.address, EVENTS)) == wanted
    finally:
        process.collect()
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.both_logs
async def test_slow_work_killed_in_the_middle_is_resumed_and_not_repeated(log: str, tmp_path: Path) -> None:
    total, concurrency = 120, 4
    await append_all(log, [request_record(number) for number in range(total)])
    program = ("tests.streams.ledger_worker", log, str(tmp_path))
    with stage_process(*program, log_file=tmp_path / "log") as process:
        await eventually(lambda: read_ledger(tmp_path / "ledger").total() >= 40, timeout_s=40)
        process.kill()
    assert read_ledger(tmp_path / "ledger").total() < total
    with stage_process(*program, log_file=tmp_path / "log"):
        wanted = {str(stored(download(number), 1).identity("recordings")) for number in range(total)}

        async def is_done() -> bool:
            return set(await read_ids(log, RECORDINGS)) == wanted

        await eventually(is_done, timeout_s=60)
    ledger = read_ledger(tmp_path / "ledger")
    assert set(ledger) == {f"s-{number} 1" for number in range(total)}
    assert ledger.total() - total <= concurrency, "only what was running may be done again"
