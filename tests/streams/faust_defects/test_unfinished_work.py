"""A later offset is committed while an earlier record is still being worked on (robinhood/faust #682).

With `concurrency > 1` an agent's records are done out of order. `Consumer._new_offset` commits the first run of
acknowledged offsets, and looks whether something before it is missing only where it has a committed offset that is
not 0, and then tolerates one missing record: `min(acked) - committed_offset > 1`. So a worker that is killed leaves
its oldest record undone for ever.

Our stages have a concurrency of 1, acknowledge in order after `take`, and file slow work durably before they do.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from postcall.topics import RECORDINGS
from tests.streams.faust_defects.hanging_worker import HANGING
from tests.streams.faust_defects.partitions import (
    PLAIN_GROUP,
    STAGE_GROUP,
    TOPIC,
    append_values,
    committed,
    has_committed,
)
from tests.streams.faust_defects.plain_app import GO, HANG, WAIT, PlainApp
from tests.streams.faust_defects.watched_stage import WatchedStage
from tests.streams.ledger_worker import LedgerWorker, make_stage, read_ledger
from tests.streams.log_contents import append_all, count_records, read_ids
from tests.streams.requests import download, request_record, stored
from tests.streams.running import running
from tests.streams.stage_process import stage_process
from tests.waiting import eventually


async def test_plain_faust_loses_the_record_that_was_under_way_when_it_was_killed(log: str, tmp_path: Path) -> None:
    first, second = (
        PlainApp(log=log, topic=TOPIC.name, directory=str(tmp_path / name), concurrency=2)
        for name in ("first", "second")
    )
    await append_values(log, 0, HANG, GO, GO, GO)
    with first.running() as process:
        await eventually(partial(has_committed, log, PLAIN_GROUP, 0, 4), timeout_s=60)
        assert (0, 0) in first.begun
        assert (0, 0) not in first.done
        process.kill()
    await append_values(log, 0, GO)
    with second.running():
        await eventually(lambda: (0, 4) in second.done, timeout_s=60)
        assert second.begun == [(0, 4)]


async def test_our_stage_commits_nothing_past_what_it_is_taking(log: str, tmp_path: Path) -> None:
    first = WatchedStage(log, tmp_path)
    async with running(first, log=log, data_dir=tmp_path):
        await append_values(log, 0, GO, WAIT, GO, GO, GO)
        await append_values(log, 1, GO)
        await eventually(lambda: (0, 1) in first.begun)
        await asyncio.sleep(1.2)  # two commit intervals: that nothing is committed can only be waited for
        committed_meanwhile = await committed(log, STAGE_GROUP)
        first.gate.set()
        await eventually(partial(has_committed, log, STAGE_GROUP, 0, 5))
    assert committed_meanwhile.get(0, 0) <= 1
    assert first.taken == dict.fromkeys([*((0, offset) for offset in range(5)), (1, 0)], 1)


async def test_our_slow_stage_does_again_what_was_under_way_when_it_was_killed(log: str, tmp_path: Path) -> None:
    total, ledger = 6, tmp_path / "ledger"
    hanging, *others = (f"s-{number} 1" for number in (HANGING, *range(1, total)))

    async def are_concluded(count: int) -> bool:
        return await count_records(log, RECORDINGS) >= count

    await append_all(log, [request_record(number) for number in range(total)])
    program = ("tests.streams.faust_defects.hanging_worker", log, str(tmp_path))
    with stage_process(*program, log_file=tmp_path / "log") as process:
        await eventually(partial(are_concluded, len(others)), timeout_s=60)
        assert read_ledger(ledger) == dict.fromkeys([hanging, *others], 1)
        process.kill()
    async with running(make_stage(LedgerWorker(ledger), log=log, data_dir=tmp_path), log=log, data_dir=tmp_path):
        await eventually(partial(are_concluded, total))
    assert read_ledger(ledger) == {hanging: 2, **dict.fromkeys(others, 1)}
    assert str(stored(download(HANGING), 1).identity("recordings")) in await read_ids(log, RECORDINGS)
