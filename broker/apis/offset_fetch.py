"""OffsetFetch, key 9, v1-v7.

Tells what a group has committed: for the partitions named, or for all with null. A partition without a commit has the
offset -1.
Version 2 brought null and an error for the whole answer, 5 leader epochs, which are answered as unknown, 6 is flexible,
7 asks to wait for transactions, of which there are none.
Left out: several groups in one request (v8).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.consumer import OffsetFetchRequest, OffsetFetchResponse

from broker.errors import BrokerError, UnknownTopicOrPartition, error_code
from broker.registry import Api, Call
from broker.storage import CommittedOffset
from broker.topics import PartitionKey

_Topic = OffsetFetchResponse.OffsetFetchResponseTopic
_Partition = _Topic.OffsetFetchResponsePartition
_Wanted = list[tuple[str, list[int]]]


async def handle(request: Any, call: Call) -> Any:
    """Look up a group's offsets."""
    try:
        committed = await call.log.committed_offsets(request.group_id)
    except BrokerError as error:
        return OffsetFetchResponse(throttle_time_ms=0, topics=[], error_code=error_code(error))
    if request.topics is None:
        wanted = _all_committed(committed, call)
    else:
        wanted = [(topic.name, topic.partition_indexes) for topic in request.topics]
    return OffsetFetchResponse(
        throttle_time_ms=0,
        topics=[
            _Topic(name=name, partitions=[_answer(name, index, committed, call) for index in indexes])
            for name, indexes in wanted
        ],
        error_code=0,
    )


def _all_committed(committed: dict[PartitionKey, CommittedOffset], call: Call) -> _Wanted:
    wanted: dict[str, list[int]] = {}
    for key in sorted(committed):
        topic = call.log.topics.numbered(key.topic_number)
        if topic is not None:
            wanted.setdefault(topic.name, []).append(key.partition_index)
    return list(wanted.items())


def _answer(topic_name: str, index: int, committed: dict[PartitionKey, CommittedOffset], call: Call) -> Any:
    found: CommittedOffset | None = None
    error: BrokerError | None = None
    try:
        found = committed.get(call.log.topics.named(topic_name).partition(index))
    except UnknownTopicOrPartition as unknown:
        error = unknown
    return _Partition(
        partition_index=index,
        committed_offset=-1 if found is None else found.offset,
        committed_leader_epoch=-1,
        metadata="" if found is None else found.metadata,
        error_code=error_code(error),
    )


API = Api(key=9, min_version=1, max_version=7, request_type=OffsetFetchRequest, handle=handle)
