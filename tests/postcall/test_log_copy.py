"""Copying a log: what the target is afterwards, whatever the source holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from hypothesis import given, settings
from hypothesis import strategies as st

from postcall.errors import LogUnavailable
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.log_copy.errors import CopyDiffers, TargetNotEmpty
from postcall.log_copy.partitions import CopyProgress
from postcall.log_copy.run import CopyReport, copy_log
from postcall.topic_settings import TopicSettings
from postcall.topics import MAX_RECORD_BYTES
from tests.logs.embedded import embedded_log
from tests.postcall.log_contents import Headers, Written, commit, fill, make_topic, read_log
from tests.waiting import eventually

WEBHOOKS = "postcall.webhooks"
FIRST, SECOND = TopicPartition(WEBHOOKS, 0), TopicPartition(WEBHOOKS, 1)
# What a record batch adds to the value of its one record is below this.
BATCH_OVERHEAD_BYTES = 200

contents = st.none() | st.binary(max_size=20)
headers: st.SearchStrategy[Headers] = st.lists(
    st.tuples(st.sampled_from(["source", "receipt-id", "ü", ""]), contents), max_size=4
).map(tuple)
# Apache Kafka takes nothing from the future.
timestamps = st.integers(min_value=0, max_value=1_700_000_000_000)
records = st.lists(
    st.builds(Written, key=contents, value=contents, headers=headers, timestamp=timestamps)
    | st.just(Written(value=b"again and again")),
    max_size=12,
)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[str]:
    """An embedded log to copy, with the topic `postcall.webhooks` to be made."""
    with embedded_log(tmp_path / "source") as address:
        yield address


async def copy(source: str, target: str, **wanted: int) -> CopyReport:
    progress = CopyProgress()
    report = await copy_log(
        LogConnection(source), LogConnection(target), wanted=TopicSettings(**wanted), progress=progress
    )
    assert progress.done == progress.total
    return report


async def committed(address: str, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    async with open_admin(LogConnection(address)) as admin:
        found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(group)
    return found


@settings(max_examples=10, deadline=None)
@given(before=st.tuples(records, records), after=st.tuples(records, records))
def test_a_copy_is_equal_and_what_came_later_is_copied_by_the_next_run(
    tmp_path_factory: pytest.TempPathFactory,
    before: tuple[list[Written], list[Written]],
    after: tuple[list[Written], list[Written]],
) -> None:
    async def hold(source: str, target: str) -> None:
        await make_topic(source, WEBHOOKS)
        digests = []
        for part in (before, after, ([], [])):
            await fill(source, FIRST, part[0])
            await fill(source, SECOND, part[1])
            (topic,) = (await copy(source, target)).topics
            assert topic.copied == len(part[0]) + len(part[1])
            assert await read_log(target) == await read_log(source)
            digests.append(topic.sha256)
        assert (digests[0] == digests[1]) == (after == ([], []))
        assert digests[1] == digests[2]

    folder = tmp_path_factory.mktemp("logs")
    with embedded_log(folder / "source") as source, embedded_log(folder / "target") as target:
        asyncio.run(hold(source, target))


@pytest.mark.both_logs
async def test_every_kind_of_record_arrives_as_it_was(source: str, log_address: str) -> None:
    await make_topic(source, WEBHOOKS)
    odd = [
        Written(key=None, value=b""),
        Written(key=b"", value=None, timestamp=0),
        Written(headers=(("a", None), ("a", b""), ("", b"\xff")), timestamp=1),
        Written(),
        Written(),
    ]
    await fill(source, FIRST, odd)
    await fill(source, SECOND, [Written(value=bytes(MAX_RECORD_BYTES - BATCH_OVERHEAD_BYTES))])
    await copy(source, log_address)
    assert await read_log(log_address) == await read_log(source)


@pytest.mark.both_logs
async def test_topics_keep_their_partitions_and_generations(source: str, log_address: str) -> None:
    await make_topic(source, WEBHOOKS, partitions=3)
    await make_topic(source, "postcall.events-g2", partitions=5)
    await make_topic(source, "orders")
    report = await copy(source, log_address, partitions=4)
    assert [(topic.topic, topic.partitions) for topic in report.topics] == [("postcall.events-g2", 5), (WEBHOOKS, 3)]
    assert report.other_topics == ("orders",)
    async with open_admin(LogConnection(log_address)) as admin:
        described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    assert described.items() >= {WEBHOOKS: 3, "postcall.events-g2": 5}.items()
    assert "orders" not in described


@pytest.mark.both_logs
async def test_groups_go_on_where_they_were(source: str, log_address: str) -> None:
    await make_topic(source, WEBHOOKS)
    await make_topic(source, "orders")
    await fill(source, FIRST, [Written()] * 3)
    await commit(source, "postcall.normalize", {FIRST: (2, ""), SECOND: (0, "")})
    await commit(source, "their consumer", {FIRST: (1, "by hand"), TopicPartition("orders", 0): (0, "")})
    report = await copy(source, log_address)
    assert report.groups == ("postcall.normalize", "their consumer")
    assert (await committed(log_address, "postcall.normalize"))[FIRST].offset == 2
    assert await committed(log_address, "their consumer") == {FIRST: OffsetAndMetadata(1, "by hand")}
    await commit(source, "postcall.normalize", {FIRST: (3, "")})
    await copy(source, log_address)
    assert (await committed(log_address, "postcall.normalize"))[FIRST].offset == 3


async def test_what_arrives_meanwhile_is_told_and_left_for_the_next_run(source: str, log_address: str) -> None:
    await make_topic(source, WEBHOOKS)
    await fill(source, FIRST, [Written(value=bytes(1000))] * 2000)

    async def go_on_appending() -> None:
        while True:
            await fill(source, FIRST, [Written()])

    appending = asyncio.create_task(go_on_appending())
    try:
        report = await copy(source, log_address)
    finally:
        appending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await appending
    assert report.left > 0
    there, copied = await read_log(source), await read_log(log_address)
    assert len(copied) == report.topics[0].records >= 2000
    assert there[: len(copied)] == copied
    assert report.left <= len(there) - len(copied)
    assert (await copy(source, log_address)).left == 0
    assert await read_log(log_address) == await read_log(source)


@pytest.mark.parametrize("lost", ["source", "target"])
async def test_a_log_that_falls_silent_ends_the_copy_and_the_next_run_goes_on(tmp_path: Path, lost: str) -> None:
    folders = {name: tmp_path / name for name in ("source", "target")}
    with contextlib.ExitStack() as kept, contextlib.ExitStack() as losing:
        addresses = {
            name: (losing if name == lost else kept).enter_context(embedded_log(folder))
            for name, folder in folders.items()
        }
        await make_topic(addresses["source"], WEBHOOKS)
        for _ in range(4):
            await fill(addresses["source"], FIRST, [Written(value=bytes(100_000))] * 150)
        progress = CopyProgress()
        copying = asyncio.create_task(
            copy_log(
                *(LogConnection(addresses[name]) for name in ("source", "target")),
                wanted=TopicSettings(),
                progress=progress,
                silence_limit_s=0.5,
            )
        )
        await eventually(lambda: progress.done > 0)
        await asyncio.to_thread(losing.close)
        with pytest.raises(LogUnavailable, match=addresses[lost]):
            await asyncio.wait_for(copying, 20)
    with embedded_log(folders["source"]) as source, embedded_log(folders["target"]) as target:
        await copy(source, target)
        assert await read_log(target) == await read_log(source)


async def test_whoever_else_writes_to_the_target_is_noticed(source: str, log_address: str) -> None:
    await make_topic(source, WEBHOOKS)
    await make_topic(log_address, WEBHOOKS)
    for _ in range(4):
        await fill(source, FIRST, [Written(value=bytes(100_000))] * 150)
    progress = CopyProgress()
    copying = asyncio.create_task(
        copy_log(LogConnection(source), LogConnection(log_address), wanted=TopicSettings(), progress=progress)
    )
    await eventually(lambda: progress.done > 0)
    await fill(log_address, FIRST, [Written()])
    with pytest.raises(CopyDiffers, match="something else writes to the target"):
        await copying
    with pytest.raises(TargetNotEmpty, match=r"postcall\.webhooks/0 .* the record at offset \d+ differs"):
        await copy(source, log_address)
