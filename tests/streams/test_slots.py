"""Slots: several `postcall streams` on one data directory, and the same slot again after a restart."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from postcall.instance import is_alive
from postcall.topics import STAGE_INPUTS
from streams.slots import hold_slot, slot_directory
from tests.streams.ledger_worker import LedgerWorker, make_stage, read_ledger
from tests.streams.log_contents import append_all, count_records
from tests.streams.requests import request_record
from tests.streams.running import running
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

READY = re.compile(r"action=child_ready child=(\w+) child_pid=(\d+)")


def all_stages(log: str, data_dir: Path) -> tuple[str, ...]:
    return ("postcall", "streams", "--kafka", log, "--data-dir", str(data_dir))


async def until_all_ready(process: StageProcess) -> list[int]:
    await eventually(lambda: dict(READY.findall(process.logged)).keys() == STAGE_INPUTS.keys(), timeout_s=60)
    return [int(pid) for pid in dict(READY.findall(process.logged)).values()]


def test_each_takes_the_first_slot_that_is_free(tmp_path: Path) -> None:
    with ExitStack() as first, hold_slot(tmp_path, STAGE_INPUTS) as second_slot:
        assert second_slot == 0
        assert first.enter_context(hold_slot(tmp_path, STAGE_INPUTS)) == 1
        with hold_slot(tmp_path, STAGE_INPUTS) as third_slot:
            assert third_slot == 2
        first.close()
        with hold_slot(tmp_path, STAGE_INPUTS) as again:
            assert again == 1


def test_single_stages_share_a_slot_that_no_two_of_a_kind_share(tmp_path: Path) -> None:
    with (
        hold_slot(tmp_path, ["normalize"]) as normalize,
        hold_slot(tmp_path, ["plan"]) as plan,
        hold_slot(tmp_path, ["normalize"]) as second_normalize,
        hold_slot(tmp_path, STAGE_INPUTS) as all_of_them,
    ):
        assert (normalize, plan, second_normalize, all_of_them) == (0, 0, 1, 2)


def test_a_new_data_directory_is_its_owners_alone(tmp_path: Path) -> None:
    with hold_slot(tmp_path / "data", ["plan"]):
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0


async def test_two_trees_of_stages_share_a_data_directory(log: str, tmp_path: Path) -> None:
    with (
        stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "first") as first,
        stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "second") as second,
    ):
        await until_all_ready(first)
        await until_all_ready(second)
        assert {(slot_directory(tmp_path, slot) / "insights.sqlite3").exists() for slot in (0, 1)} == {True}
        assert first.stop() == second.stop() == 0


async def test_a_restart_after_kill_9_comes_back_to_its_slot(log: str, tmp_path: Path) -> None:
    with stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "log") as process:
        children = await until_all_ready(process)
        process.kill()
    # The stages of the killed one may still hold their files.
    with stage_process(*all_stages(log, tmp_path), log_file=tmp_path / "log") as process:
        await until_all_ready(process)
        assert "action=slot_taken slot=0 " in process.logged
        assert not any(is_alive(pid) for pid in children)
        assert process.stop() == 0


async def test_a_slot_that_was_not_used_for_long_catches_up_and_repeats_nothing(log: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    async def work_in(slot: int, numbers: range) -> None:
        directory = slot_directory(tmp_path, slot)
        directory.mkdir(parents=True, exist_ok=True)
        stage = make_stage(LedgerWorker(ledger), log=log, data_dir=directory)
        async with running(stage, log=log, data_dir=directory):
            await append_all(log, [request_record(number) for number in numbers])
            await eventually(lambda: read_ledger(ledger).total() >= numbers.stop)

    await work_in(1, range(10))
    await work_in(0, range(10, 30))
    await work_in(1, range(30, 40))
    assert read_ledger(ledger) == {f"s-{number} 1": 1 for number in range(40)}
    assert await count_records(log, LedgerWorker.outcomes) == 40
