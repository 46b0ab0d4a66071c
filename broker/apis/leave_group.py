"""LeaveGroup, key 13, v0-v2.

A member goes in order, so that the others need not wait for its timeout. Left out: several members at once (v3), which
is for static members.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.consumer.group import LeaveGroupRequest, LeaveGroupResponse

from broker.errors import BrokerError, error_code
from broker.registry import Api, Call


async def handle(request: Any, call: Call) -> Any:
    """Drop the member."""
    refusal: BrokerError | None = None
    try:
        call.groups.with_member(request.group_id).leave(request.member_id)
    except BrokerError as error:
        refusal = error
    return LeaveGroupResponse(throttle_time_ms=0, error_code=error_code(refusal))


API = Api(key=13, min_version=0, max_version=2, request_type=LeaveGroupRequest, handle=handle)
