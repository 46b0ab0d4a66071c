"""Consumer groups: members share the partitions, and what they commit survives them and the log."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka.protocol.consumer import OffsetCommitRequest, OffsetCommitResponse
from kafka.protocol.consumer.group import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)

from broker.errors import ErrorCode
from tests.broker.admin import CreateTopic, create_topics
from tests.broker.log_process import running_log
from tests.broker.wire import WireClient, wire_client
from tests.waiting import eventually

pytestmark = pytest.mark.both_logs


@contextlib.asynccontextmanager
async def member(address: str, topic: str, group: str = "readers") -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that notices a rebalance soon."""
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        heartbeat_interval_ms=100,
        session_timeout_ms=60_000,
    ) as consumer:
        yield consumer


async def test_two_members_share_the_partitions(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic(partitions=4)
    async with member(log_address, topic) as first, member(log_address, topic) as second:
        await eventually(lambda: len(first.assignment()) == 2 and len(second.assignment()) == 2)
        assert first.assignment() | second.assignment() == {TopicPartition(topic, index) for index in range(4)}


async def test_member_that_leaves_hands_over_its_partitions(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic(partitions=4)
    async with member(log_address, topic) as stays:
        async with member(log_address, topic) as leaves:
            await eventually(lambda: len(leaves.assignment()) == 2)
        await eventually(lambda: len(stays.assignment()) == 4)


@pytest.mark.embedded_only("Kafka waits for the session timeout")
async def test_member_whose_process_dies_is_replaced_before_its_session_timeout(
    log_address: str, create_topic: CreateTopic
) -> None:
    topic = await create_topic(partitions=2)
    async with wire_client(log_address) as dies:
        joined = await join(dies, session_timeout_ms=600_000)
        await sync(dies, joined)
        assert await heartbeat(dies, joined) == ErrorCode.NONE
    async with member(log_address, topic, "wired") as survivor:
        await eventually(lambda: len(survivor.assignment()) == 2)


async def test_next_member_goes_on_after_the_committed_offset(
    log_address: str, producer: AIOKafkaProducer, create_topic: CreateTopic
) -> None:
    topic = await create_topic()
    for value in (b"one", b"two"):
        await producer.send_and_wait(topic, value)
    async with member(log_address, topic) as first:
        assert (await first.getone()).value == b"one"
        await first.commit({TopicPartition(topic, 0): 1})
    async with member(log_address, topic) as second:
        assert (await second.getone()).value == b"two"


async def test_commits_survive_kill_9(tmp_path: Path) -> None:
    partition = TopicPartition("calls", 0)
    with running_log(tmp_path) as log:
        await create_topics(log.address, "calls")
        async with member(log.address, "calls") as consumer:
            await eventually(lambda: bool(consumer.assignment()))
            await consumer.commit({partition: (7, "seen")})
        log.kill()
    with running_log(tmp_path) as log:
        async with member(log.address, "calls") as consumer:
            assert await consumer.committed(partition) == 7


async def test_members_join_again_after_the_log_restarts(tmp_path: Path) -> None:
    with running_log(tmp_path) as log:
        await create_topics(log.address, "calls")
        async with member(log.address, "calls") as consumer:
            await eventually(lambda: bool(consumer.assignment()))
            log.kill()
            with running_log(tmp_path, port=log.port) as restarted:
                async with AIOKafkaProducer(bootstrap_servers=restarted.address) as producer:
                    await producer.send_and_wait("calls", b"after")
                assert (await consumer.getone()).value == b"after"


async def join(client: WireClient, *, member_id: str = "", session_timeout_ms: int = 10_000) -> Any:
    """Join the group `wired`."""
    request = JoinGroupRequest(
        group_id="wired",
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=session_timeout_ms,
        member_id=member_id,
        protocol_type="consumer",
        protocols=[JoinGroupRequest.JoinGroupRequestProtocol(name="roundrobin", metadata=SUBSCRIPTION)],
    )
    return await client.ask(request, JoinGroupResponse, version=3)


#: What aiokafka's assignors read: version 0, the one topic `calls`, no user data.
SUBSCRIPTION = b"\x00\x00\x00\x00\x00\x01\x00\x05calls\xff\xff\xff\xff"


async def sync(client: WireClient, joined: Any, assignments: dict[str, bytes] | None = None) -> Any:
    """Bring the assignments, or wait for them."""
    request = SyncGroupRequest(
        group_id="wired",
        generation_id=joined.generation_id,
        member_id=joined.member_id,
        assignments=[
            SyncGroupRequest.SyncGroupRequestAssignment(member_id=member_id, assignment=assignment)
            for member_id, assignment in (assignments or {}).items()
        ],
    )
    return await client.ask(request, SyncGroupResponse, version=2)


async def heartbeat(client: WireClient, joined: Any) -> int:
    """The error code of a heartbeat."""
    request = HeartbeatRequest(group_id="wired", generation_id=joined.generation_id, member_id=joined.member_id)
    return int((await client.ask(request, HeartbeatResponse, version=2)).error_code)


async def commit(client: WireClient, *, member_id: str, generation: int, offset: int = 1) -> int:
    """The error code of a commit for the first partition of `calls`."""
    topic = OffsetCommitRequest.OffsetCommitRequestTopic
    request = OffsetCommitRequest(
        group_id="wired",
        generation_id_or_member_epoch=generation,
        member_id=member_id,
        topics=[
            topic(
                name="calls",
                partitions=[
                    topic.OffsetCommitRequestPartition(
                        partition_index=0, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=None
                    )
                ],
            )
        ],
    )
    response = await client.ask(request, OffsetCommitResponse, version=6)
    return int(response.topics[0].partitions[0].error_code)


async def test_member_gets_what_the_leader_assigns(log_address: str) -> None:
    async with wire_client(log_address) as client:
        joined = await join(client)
        assert joined.leader == joined.member_id
        assert [(one.member_id, bytes(one.metadata)) for one in joined.members] == [(joined.member_id, SUBSCRIPTION)]
        synced = await sync(client, joined, {joined.member_id: b"all of it"})
    assert bytes(synced.assignment) == b"all of it"


async def test_zombie_of_an_earlier_generation_cannot_commit(log_address: str, create_topic: CreateTopic) -> None:
    await create_topic()
    async with wire_client(log_address) as zombie, wire_client(log_address) as owner:
        old = await join(zombie, session_timeout_ms=300)
        await sync(zombie, old)
        new = await join(owner)
        await sync(owner, new)
        refused = await commit(zombie, member_id=old.member_id, generation=old.generation_id)
        accepted = await commit(owner, member_id=new.member_id, generation=new.generation_id)
        stale = await commit(owner, member_id=new.member_id, generation=new.generation_id - 1)
    assert refused == ErrorCode.UNKNOWN_MEMBER_ID
    assert accepted == ErrorCode.NONE
    assert stale == ErrorCode.ILLEGAL_GENERATION


async def test_tool_may_commit_only_while_the_group_has_no_members(log_address: str, create_topic: CreateTopic) -> None:
    await create_topic()
    async with wire_client(log_address) as client:
        assert await commit(client, member_id="", generation=-1) == ErrorCode.NONE
        await join(client)
        assert await commit(client, member_id="", generation=-1) == ErrorCode.UNKNOWN_MEMBER_ID


async def test_member_without_a_shared_strategy_is_refused(log_address: str) -> None:
    async with wire_client(log_address) as client:
        await join(client)
        request = JoinGroupRequest(
            group_id="wired",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000,
            member_id="",
            protocol_type="consumer",
            protocols=[JoinGroupRequest.JoinGroupRequestProtocol(name="another", metadata=b"")],
        )
        refused = await client.ask(request, JoinGroupResponse, version=3)
    assert refused.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


@pytest.mark.parametrize("member_id", ["somebody", "wire-0"])
async def test_stranger_is_told_to_join(log_address: str, member_id: str) -> None:
    async with wire_client(log_address) as client:
        refused = await join(client, member_id=member_id)
        assert refused.error_code == ErrorCode.UNKNOWN_MEMBER_ID
        assert await heartbeat(client, refused) == ErrorCode.UNKNOWN_MEMBER_ID
