"""JoinGroup, key 11, v0-v3.

Answers once the group's next generation begins: when all members have joined, or after the longest rebalance timeout.
Version 1 brought the rebalance timeout; before, it is the session timeout.
Left out: the extra round in which a new member learns its id first (v4; a member that vanishes while it joins is
noticed by its connection) and static members (v5).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.consumer.group import JoinGroupRequest, JoinGroupResponse

from broker.errors import BrokerError, error_code
from broker.group_members import JoinRequest
from broker.registry import Api, Call

_Member = JoinGroupResponse.JoinGroupResponseMember


async def handle(request: Any, call: Call) -> Any:
    """Join, and wait for the others."""
    has_own_timeout = call.version >= 1 and request.rebalance_timeout_ms > 0
    try:
        joined = await call.groups.join(
            JoinRequest(
                group_id=request.group_id,
                member_id=request.member_id,
                client_id=call.client_id,
                client_host=call.client.peer,
                connection_number=call.client.connection_number,
                session_timeout_ms=request.session_timeout_ms,
                rebalance_timeout_ms=request.rebalance_timeout_ms if has_own_timeout else request.session_timeout_ms,
                protocol_type=request.protocol_type,
                protocols={protocol.name: bytes(protocol.metadata) for protocol in request.protocols},
            )
        )
    except BrokerError as error:
        return JoinGroupResponse(
            throttle_time_ms=0,
            error_code=error_code(error),
            generation_id=-1,
            protocol_name="",
            leader="",
            member_id=request.member_id,
            members=[],
        )
    return JoinGroupResponse(
        throttle_time_ms=0,
        error_code=0,
        generation_id=joined.generation,
        protocol_name=joined.protocol_name,
        leader=joined.leader_id,
        member_id=joined.member_id,
        members=[_Member(member_id=member_id, metadata=metadata) for member_id, metadata in joined.members.items()],
    )


API = Api(key=11, min_version=0, max_version=3, request_type=JoinGroupRequest, handle=handle)
