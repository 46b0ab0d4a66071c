"""A record behind a gap of offsets counts as done before it is (faust-streaming #606).

Offsets are missing where a transaction has its marker, and where compaction removed records. `Consumer._drain_messages`
notes a gap up to *and with* the record behind it (`_add_gap(tp, r_offset + 1, offset)`), and `_new_offset` takes all
that is in a gap as acknowledged. With `concurrency > 1` the record behind a gap is so committed while it is still
being worked on, also where Faust would have waited for it without the gap.

Our stages acknowledge in order, so that nothing behind an unfinished record is ever acknowledged.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

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
from tests.streams.running import running
from tests.waiting import eventually

# The embedded log has neither transactions nor compaction, and so no gaps.
pytestmark = [pytest.mark.kafka, pytest.mark.parametrize("log_address", ["kafka"], indirect=True)]

#: Where the record behind the gap is, and where the last one is.
BEHIND_GAP, LAST = 6, 9


async def append_with_gaps(log: str, partition: int, *values: bytes) -> None:
    """Offsets 0 to 2, a gap, 4 (of a transaction that is aborted), a gap, and the values from 6."""
    async with AIOKafkaProducer(bootstrap_servers=log, transactional_id=f"gaps-{partition}") as producer:
        async with producer.transaction():
            for _ in range(3):
                await producer.send_and_wait(TOPIC.name, GO, partition=partition)
        await producer.begin_transaction()
        await producer.send_and_wait(TOPIC.name, GO, partition=partition)
        await producer.abort_transaction()
    await append_values(log, partition, *values)


async def test_plain_faust_commits_past_an_unfinished_record_if_it_is_behind_a_gap(log: str, tmp_path: Path) -> None:
    app = PlainApp(log=log, topic=TOPIC.name, directory=str(tmp_path / "plain"), concurrency=5)
    await append_with_gaps(log, 0, HANG, HANG, GO, GO)
    await append_values(log, 1, GO, GO, GO, GO, HANG, HANG, GO, GO)
    with app.running():
        await eventually(partial(has_committed, log, PLAIN_GROUP, 1, 4), timeout_s=60)
        await eventually(partial(has_committed, log, PLAIN_GROUP, 0, BEHIND_GAP + 1), timeout_s=60)
        assert (await committed(log, PLAIN_GROUP))[1] == 4, "without a gap it waits"
    assert (0, BEHIND_GAP) in app.begun
    assert (0, BEHIND_GAP) not in app.done


async def test_our_stage_waits_for_the_record_behind_a_gap_and_then_passes_it(log: str, tmp_path: Path) -> None:
    first, second = (WatchedStage(log, tmp_path / name) for name in ("first", "second"))
    await append_with_gaps(log, 0, WAIT, WAIT, GO, GO)
    async with running(first, log=log, data_dir=first.directory):
        await eventually(lambda: (0, BEHIND_GAP) in first.begun)
        await asyncio.sleep(1.2)  # two commit intervals: that nothing is committed can only be waited for
        committed_meanwhile = await committed(log, STAGE_GROUP)
        first.gate.set()
        await eventually(partial(has_committed, log, STAGE_GROUP, 0, LAST + 1))
    await append_with_gaps(log, 0, GO)
    async with running(second, log=log, data_dir=second.directory):
        await eventually(lambda: len(second.taken) == 5)
    assert committed_meanwhile.get(0, 0) <= BEHIND_GAP
    assert first.taken + second.taken == dict.fromkeys(
        [(0, offset) for offset in (0, 1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 14, 16)], 1
    )
