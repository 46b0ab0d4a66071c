"""DescribeGroups, key 15, v0-v4.

A group that has no members is answered as Empty if it has committed offsets, else as Dead. Version 3 asks for
authorized operations, which are not kept; 4 names static members, of which there are none.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.admin import DescribeGroupsRequest, DescribeGroupsResponse

from broker.consumer_group import ConsumerGroup, GroupState
from broker.registry import Api, Call

_Group = DescribeGroupsResponse.DescribedGroup
_Member = _Group.DescribedGroupMember


async def handle(request: Any, call: Call) -> Any:
    """Describe the groups named."""
    with_offsets = set(await call.log.group_ids())
    return DescribeGroupsResponse(
        throttle_time_ms=0,
        groups=[
            _describe(group_id, call.groups.find(group_id), group_id in with_offsets) for group_id in request.groups
        ],
    )


def _describe(group_id: str, group: ConsumerGroup | None, has_offsets: bool) -> Any:
    if group is None:
        state = GroupState.EMPTY.value if has_offsets else "Dead"
        return _Group(
            error_code=0, group_id=group_id, group_state=state, protocol_type="", protocol_data="", members=[]
        )
    return _Group(
        error_code=0,
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol_name if group.state is GroupState.STABLE else "",
        members=[
            _Member(
                member_id=member.member_id,
                group_instance_id=None,
                client_id=member.request.client_id,
                client_host=member.request.client_host,
                member_metadata=group.metadata_of(member),
                member_assignment=member.assignment,
            )
            for member in group.members.values()
        ],
    )


API = Api(key=15, min_version=0, max_version=4, request_type=DescribeGroupsRequest, handle=handle)
