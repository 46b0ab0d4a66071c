"""Produce, key 0, v3-v9.

Appends one record batch to each partition named, and answers when all are on the disk. `acks` 1 and -1 mean the same,
for there is one copy; with 0 nothing is answered. One refused partition does not fail its neighbours.
Version 3 brought record batches (magic 2), 7 allows zstd, 8 answers with an error message, 9 is flexible.
Left out: transactions, and v13, which names topics by id. Versions 0-2 are advertised and not answered, as Apache Kafka
does: librdkafka compresses only if it sees version 0.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kafka.protocol.producer import ProduceRequest, ProduceResponse

from broker.errors import BrokerError, InvalidRequest, error_code
from broker.partition_writer import AppendResult
from broker.record_batches import parse_record_batch
from broker.registry import Api, Call

_TopicResponse = ProduceResponse.TopicProduceResponse
_PartitionResponse = _TopicResponse.PartitionProduceResponse


async def handle(request: Any, call: Call) -> Any:
    """Append, and answer once it is durable."""
    pending = [
        (topic.name, partition.index, _submit(topic.name, partition, request, call))
        for topic in request.topic_data
        for partition in topic.partition_data
    ]
    results = await asyncio.gather(*(outcome for _, _, outcome in pending), return_exceptions=True)
    if request.acks == 0:
        return None
    responses: dict[str, list[Any]] = {topic.name: [] for topic in request.topic_data}
    for (name, index, _), result in zip(pending, results, strict=True):
        responses[name].append(_partition_response(index, result))
    return ProduceResponse(
        responses=[_TopicResponse(name=name, partition_responses=partitions) for name, partitions in responses.items()],
        throttle_time_ms=0,
    )


def _submit(topic_name: str, partition: Any, request: Any, call: Call) -> asyncio.Future[AppendResult]:
    try:
        if request.transactional_id is not None:
            raise InvalidRequest("Transactions are not supported by this log.")
        key = call.log.topics.named(topic_name).partition(partition.index)
        return call.log.append(key, parse_record_batch(partition.records))
    except BrokerError as error:
        refused: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()
        refused.set_exception(error)
        return refused


def _partition_response(index: int, result: AppendResult | BaseException) -> Any:
    if isinstance(result, BrokerError):
        return _PartitionResponse(
            index=index, error_code=error_code(result), base_offset=-1, log_start_offset=-1, error_message=str(result)
        )
    if isinstance(result, BaseException):
        raise result
    return _PartitionResponse(index=index, error_code=0, base_offset=result.base_offset, log_start_offset=0)


API = Api(key=0, min_version=3, max_version=9, request_type=ProduceRequest, handle=handle, advertised_min_version=0)
