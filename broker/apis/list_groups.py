"""ListGroups, key 16, v0-v4.

Groups that have members, and groups that have committed offsets. Version 3 is flexible, 4 asks for states. Left out:
group types (v5), for all are of the classic one.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.admin import ListGroupsRequest, ListGroupsResponse

from broker.consumer_group import GroupState
from broker.registry import Api, Call

_Group = ListGroupsResponse.ListedGroup


async def handle(request: Any, call: Call) -> Any:
    """List the groups, of the states asked for."""
    groups = {
        group_id: _Group(group_id=group_id, protocol_type="consumer", group_state=GroupState.EMPTY.value)
        for group_id in await call.log.group_ids()
    }
    for group in call.groups:
        groups[group.group_id] = _Group(
            group_id=group.group_id, protocol_type=group.protocol_type, group_state=group.state.value
        )
    states = {state.lower() for state in request.states_filter or ()} if call.version >= 4 else set()
    wanted = [group for _, group in sorted(groups.items()) if not states or group.group_state.lower() in states]
    return ListGroupsResponse(throttle_time_ms=0, error_code=0, groups=wanted)


API = Api(key=16, min_version=0, max_version=4, request_type=ListGroupsRequest, handle=handle)
