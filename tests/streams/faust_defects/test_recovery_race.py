"""Records that Faust fetched while it recovers are never worked on, and commits stop (faust-streaming #596).

`Recovery.on_recovery_completed` lets the consumer fetch (`resume_partitions`), asks for the committed offsets
(`perform_seek`), and then calls `flow_control.resume()`, which empties the queues of the agents. What was fetched while
the log answered is thrown away, but for the record that an agent has begun. It is not fetched again where nothing was
committed yet: aiokafka's `seek_to_committed` seeks only to offsets above 0. The one record is committed, what follows
the lost ones is not: `Consumer._new_offset` waits for acknowledgements that nobody will give.

Our stages have no tables, so nothing flows until Faust has sought. There the same answer has another victim: what a
fetch from before the rebalance brings meanwhile is thrown away, too, and was lost in the same way and committed past.
So our consumer seeks to offset 0 itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from streams.predecessor import client_id_of
from tests.streams.faust_defects.late_requests import JOIN_GROUP, OFFSET_FETCH, late_proxy
from tests.streams.faust_defects.partitions import (
    PLAIN_GROUP,
    STAGE_GROUP,
    TOPIC,
    append_values,
    committed,
    has_committed,
)
from tests.streams.faust_defects.plain_app import GO, WAIT, PlainApp
from tests.streams.faust_defects.watched_stage import WatchedStage
from tests.streams.log_contents import PARTITIONS
from tests.streams.running import running
from tests.waiting import eventually

COUNT = 50


async def test_plain_faust_loses_what_it_fetched_in_recovery_and_commits_no_more(log: str, tmp_path: Path) -> None:
    async with late_proxy(log) as proxy:
        first, second = (
            PlainApp(log=address, topic=TOPIC.name, directory=str(tmp_path / name), has_table=True)
            for name, address in (("first", log), ("second", proxy.address))
        )
        await append_values(log, 0, GO)
        with first.running():
            first.open_gate("rebalance")
            await eventually(partial(has_committed, log, PLAIN_GROUP, 0, 1), timeout_s=60)
        with second.running() as process:
            await eventually(lambda: second.has_rebalanced, timeout_s=60)
            proxy.hold(OFFSET_FETCH)
            second.open_gate("rebalance")
            await eventually(lambda: proxy.late_requests > 0, timeout_s=60)
            await append_values(log, 1, WAIT, *[GO] * COUNT)
            await eventually(lambda: (1, 0) in second.begun, timeout_s=60)
            proxy.release()
            await process.until_logged("Worker ready")
            second.open_gate("work")
            await eventually(partial(has_committed, log, PLAIN_GROUP, 1, 1), timeout_s=60)
            await append_values(log, 1, GO)
            await eventually(lambda: (1, COUNT + 1) in second.done, timeout_s=60)
            # Both partitions are committed together: so much for the other means that this one was looked at.
            await append_values(log, 0, GO)
            await eventually(partial(has_committed, log, PLAIN_GROUP, 0, 2), timeout_s=60)
            assert (await committed(log, PLAIN_GROUP))[1] == 1
    lost = {(1, offset) for offset in range(COUNT + 2)} - set(second.begun)
    assert lost


async def test_our_stage_loses_nothing_that_comes_while_it_rebalances(log: str, tmp_path: Path) -> None:
    # Members get partitions in the order of their names: the first stage keeps 1 and 3, of which nothing is committed.
    second, first = (
        WatchedStage(log, directory)
        for directory in sorted([tmp_path / "a", tmp_path / "b"], key=partial(client_id_of, "normalize"))
    )
    async with late_proxy(log) as proxy, running(first, log=proxy.address, data_dir=first.directory):
        await append_values(log, 0, GO)
        await eventually(lambda: (0, 0) in first.taken)
        proxy.hold(JOIN_GROUP)
        async with _joining(second, log):
            trickled = 1
            while not proxy.late_requests:  # so that a fetch is under way when the rebalance begins
                await append_values(log, 0, GO)
                trickled += 1
            for partition in range(1, PARTITIONS):
                await append_values(log, partition, *[GO] * COUNT)
            proxy.slow_down(OFFSET_FETCH, 0.1)
            counts = {0: trickled, **dict.fromkeys(range(1, PARTITIONS), COUNT)}
            wanted = {(partition, offset) for partition, count in counts.items() for offset in range(count)}
            await eventually(lambda: set(first.taken + second.taken) >= wanted, timeout_s=60)
            proxy.release()
    assert first.taken + second.taken == dict.fromkeys(wanted, 1)
    assert await committed(log, STAGE_GROUP) == counts


@contextlib.asynccontextmanager
async def _joining(stage: WatchedStage, log: str) -> AsyncIterator[None]:
    """Run a stage without waiting until it is ready."""

    async def run() -> None:
        async with running(stage, log=log, data_dir=stage.directory):
            await asyncio.Event().wait()

    joining = asyncio.create_task(run())
    try:
        yield
    finally:
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
