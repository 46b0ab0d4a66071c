"""SyncGroup, key 14, v0-v2.

The second half of a rebalance: the leader brings the assignments, every member gets its own. Left out: static members
(v3).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.consumer.group import SyncGroupRequest, SyncGroupResponse

from broker.errors import BrokerError, error_code
from broker.registry import Api, Call


async def handle(request: Any, call: Call) -> Any:
    """Wait for the leader, and tell the member what it reads."""
    assignments = {one.member_id: bytes(one.assignment) for one in request.assignments}
    assignment, refusal = b"", None
    try:
        group = call.groups.with_member(request.group_id)
        assignment = await group.sync(
            request.member_id, request.generation_id, call.client.connection_number, assignments
        )
    except BrokerError as error:
        refusal = error
    return SyncGroupResponse(throttle_time_ms=0, error_code=error_code(refusal), assignment=assignment)


API = Api(key=14, min_version=0, max_version=2, request_type=SyncGroupRequest, handle=handle)
