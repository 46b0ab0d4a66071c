"""InitProducerId, key 22, v0-v4.

Gives an idempotent producer an id that no other had. A producer that asks to bump its epoch (v3) gets a new id instead,
as Apache Kafka does for producers without transactions.
Version 2 is flexible. Left out: transactional ids.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.producer import InitProducerIdRequest, InitProducerIdResponse

from broker.errors import BrokerError, InvalidRequest, error_code
from broker.registry import Api, Call


async def handle(request: Any, call: Call) -> Any:
    """Take the next id."""
    try:
        if request.transactional_id is not None:
            raise InvalidRequest("Transactions are not supported by this log.")
        producer_id = await call.log.take_producer_id()
    except BrokerError as error:
        return InitProducerIdResponse(
            throttle_time_ms=0, error_code=error_code(error), producer_id=-1, producer_epoch=-1
        )
    return InitProducerIdResponse(throttle_time_ms=0, error_code=0, producer_id=producer_id, producer_epoch=0)


API = Api(key=22, min_version=0, max_version=4, request_type=InitProducerIdRequest, handle=handle)
