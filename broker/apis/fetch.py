"""Fetch, key 1, v4-v12.

Answers at once if a partition has records past the offset asked for, or an error; else waits up to `max_wait_ms` for
the next commit. At least one record batch is returned however large it is; beyond that, all partitions together stay
within `_MOST_BYTES`, and partitions named first are served first.
Version 4 brought record batches (magic 2), 7 fetch sessions, 11 racks, 12 is flexible.
Left out: fetch sessions (a client that asks for one gets none, which the protocol allows), leader epochs, and v13,
which names topics by id.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from kafka.protocol.consumer import FetchRequest, FetchResponse

from broker.errors import BrokerError, FetchSessionNotFound, error_code
from broker.registry import Api, Call
from broker.topics import PartitionKey

_TopicResponse = FetchResponse.FetchableTopicResponse
_PartitionResponse = _TopicResponse.PartitionData

#: What one response holds at most, if no single batch is larger: it is kept in memory until the client has read it.
_MOST_BYTES = 8 * 1024 * 1024
#: No request waits longer, whatever it asks for.
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _PartitionResult:
    high_watermark: int = -1
    batches: tuple[bytes, ...] = ()
    error: BrokerError | None = None

    @property
    def content_bytes(self) -> int:
        return sum(len(batch) for batch in self.batches)


async def handle(request: Any, call: Call) -> Any:
    """Read what is there, or wait for it."""
    if request.session_id != 0:
        return FetchResponse(
            throttle_time_ms=0, error_code=error_code(FetchSessionNotFound()), session_id=0, responses=[]
        )
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(max(request.max_wait_ms, 0) / 1000, _LONGEST_WAIT_S)
    with call.log.watermarks.watch(_known_partitions(request, call)) as changed:
        while True:
            changed.clear()
            results = await _read_all(request, call)
            if _is_enough(results, request.min_bytes) or not await _changed_before(changed, deadline):
                return _response(request, results)


def _known_partitions(request: Any, call: Call) -> list[PartitionKey]:
    known = []
    for topic in request.topics:
        for partition in topic.partitions:
            try:
                known.append(call.log.topics.named(topic.topic).partition(partition.partition))
            except BrokerError:
                continue
    return known


async def _read_all(request: Any, call: Call) -> list[list[_PartitionResult]]:
    left = min(request.max_bytes, _MOST_BYTES) if request.max_bytes > 0 else _MOST_BYTES
    results: list[list[_PartitionResult]] = []
    has_any = False
    for topic in request.topics:
        results.append([])
        for partition in topic.partitions:
            # Only the first batch of all may be larger than the limit; others wait until they come first.
            limit = min(partition.partition_max_bytes, left)
            result = await _read_partition(topic.topic, partition, call, max_bytes=limit, at_least_one=not has_any)
            left -= result.content_bytes
            has_any = has_any or bool(result.batches)
            results[-1].append(result)
    return results


async def _read_partition(
    topic_name: str, partition: Any, call: Call, *, max_bytes: int, at_least_one: bool
) -> _PartitionResult:
    try:
        key = call.log.topics.named(topic_name).partition(partition.partition)
        batches = await call.log.read(key, partition.fetch_offset, max_bytes=max_bytes, at_least_one=at_least_one)
    except BrokerError as error:
        return _PartitionResult(error=error)
    return _PartitionResult(high_watermark=call.log.watermarks.high(key), batches=tuple(batches))


def _is_enough(results: list[list[_PartitionResult]], min_bytes: int) -> bool:
    partitions = [result for topic in results for result in topic]
    has_error = any(result.error is not None for result in partitions)
    return not partitions or has_error or sum(result.content_bytes for result in partitions) >= min_bytes


async def _changed_before(changed: asyncio.Event, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await changed.wait()
    except TimeoutError:
        return False
    return True


def _response(request: Any, results: list[list[_PartitionResult]]) -> Any:
    return FetchResponse(
        throttle_time_ms=0,
        error_code=0,
        session_id=0,
        responses=[
            _TopicResponse(
                topic=topic.topic,
                partitions=[
                    _partition_response(partition.partition, result)
                    for partition, result in zip(topic.partitions, partitions, strict=True)
                ],
            )
            for topic, partitions in zip(request.topics, results, strict=True)
        ],
    )


def _partition_response(index: int, result: _PartitionResult) -> Any:
    return _PartitionResponse(
        partition_index=index,
        error_code=error_code(result.error),
        high_watermark=result.high_watermark,
        last_stable_offset=result.high_watermark,
        log_start_offset=-1 if result.error else 0,
        aborted_transactions=None,
        preferred_read_replica=-1,
        records=b"".join(result.batches),
    )


API = Api(key=1, min_version=4, max_version=12, request_type=FetchRequest, handle=handle)
