"""ListOffsets, key 2, v1-v6.

The time -2 asks for the earliest offset, -1 for the latest (the high watermark), any other for the first record that is
not older; -1 is answered where there is none.
Version 4 brought leader epochs, which are answered as unknown, 6 is flexible.
Left out: v7, which asks for the offset of the greatest time.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.consumer import ListOffsetsRequest, ListOffsetsResponse

from broker.errors import BrokerError, InvalidRequest, error_code
from broker.registry import Api, Call

_TopicResponse = ListOffsetsResponse.ListOffsetsTopicResponse
_PartitionResponse = _TopicResponse.ListOffsetsPartitionResponse

_LATEST = -1
_EARLIEST = -2
_UNKNOWN = -1


async def handle(request: Any, call: Call) -> Any:
    """Find an offset in each partition named."""
    return ListOffsetsResponse(
        throttle_time_ms=0,
        topics=[
            _TopicResponse(
                name=topic.name,
                partitions=[await _partition_response(topic.name, partition, call) for partition in topic.partitions],
            )
            for topic in request.topics
        ],
    )


async def _partition_response(topic_name: str, partition: Any, call: Call) -> Any:
    offset, timestamp_ms, refusal = _UNKNOWN, _UNKNOWN, None
    try:
        offset, timestamp_ms = await _find(topic_name, partition, call)
    except BrokerError as error:
        refusal = error
    return _PartitionResponse(
        partition_index=partition.partition_index,
        error_code=error_code(refusal),
        timestamp=timestamp_ms,
        offset=offset,
        leader_epoch=-1,
    )


async def _find(topic_name: str, partition: Any, call: Call) -> tuple[int, int]:
    key = call.log.topics.named(topic_name).partition(partition.partition_index)
    if partition.timestamp == _EARLIEST:
        return 0, _UNKNOWN
    if partition.timestamp == _LATEST:
        return call.log.watermarks.high(key), _UNKNOWN
    if partition.timestamp < 0:
        raise InvalidRequest
    return await call.log.offset_at(key, partition.timestamp) or (_UNKNOWN, _UNKNOWN)


API = Api(key=2, min_version=1, max_version=6, request_type=ListOffsetsRequest, handle=handle)
