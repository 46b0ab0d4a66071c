"""OffsetCommit, key 8, v2-v6.

Keeps a group's offsets, and answers when they are on the disk. While a group has members only these may commit, in the
current generation; a group without members takes any offset with generation -1, which is how tools move a group.
Version 5 dropped the retention time (offsets are kept for ever here), 6 brought leader epochs, which are not kept.
Left out: static members (v7).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.consumer import OffsetCommitRequest, OffsetCommitResponse

from broker.errors import BrokerError, error_code
from broker.registry import Api, Call
from broker.storage import CommittedOffset

_TopicResponse = OffsetCommitResponse.OffsetCommitResponseTopic
_PartitionResponse = _TopicResponse.OffsetCommitResponsePartition


async def handle(request: Any, call: Call) -> Any:
    """Commit what can be committed; partitions that do not exist are refused one by one."""
    offsets: list[CommittedOffset] = []
    errors = {
        (topic.name, partition.partition_index): _collect(topic.name, partition, call, offsets)
        for topic in request.topics
        for partition in topic.partitions
    }
    refusal: BrokerError | None = None
    try:
        call.groups.check_commit(
            request.group_id,
            request.member_id,
            request.generation_id_or_member_epoch,
            call.client.connection_number,
        )
        await call.log.commit_offsets(request.group_id, offsets)
    except BrokerError as error:
        refusal = error
    return OffsetCommitResponse(
        throttle_time_ms=0,
        topics=[
            _TopicResponse(
                name=topic.name,
                partitions=[
                    _PartitionResponse(
                        partition_index=partition.partition_index,
                        error_code=error_code(refusal or errors[topic.name, partition.partition_index]),
                    )
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ],
    )


def _collect(topic_name: str, partition: Any, call: Call, offsets: list[CommittedOffset]) -> BrokerError | None:
    try:
        key = call.log.topics.named(topic_name).partition(partition.partition_index)
    except BrokerError as error:
        return error
    offsets.append(
        CommittedOffset(partition=key, offset=partition.committed_offset, metadata=partition.committed_metadata or "")
    )
    return None


API = Api(key=8, min_version=2, max_version=6, request_type=OffsetCommitRequest, handle=handle)
