"""Heartbeat, key 12, v0-v2.

Keeps a member in its group, and tells it when to join again. Left out: static members (v3).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.consumer.group import HeartbeatRequest, HeartbeatResponse

from broker.errors import BrokerError, error_code
from broker.registry import Api, Call


async def handle(request: Any, call: Call) -> Any:
    """Note that the member is alive."""
    refusal: BrokerError | None = None
    try:
        group = call.groups.with_member(request.group_id)
        group.heartbeat(request.member_id, request.generation_id, call.client.connection_number)
    except BrokerError as error:
        refusal = error
    return HeartbeatResponse(throttle_time_ms=0, error_code=error_code(refusal))


API = Api(key=12, min_version=0, max_version=2, request_type=HeartbeatRequest, handle=handle)
