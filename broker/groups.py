"""The group coordinator: which consumer groups have members, and who may commit for them.

Members live in memory only: after a restart they learn that they are unknown, and join again. What groups have
committed lives in the database.
"""

from __future__ import annotations

from collections.abc import Iterator

from broker.consumer_group import ConsumerGroup
from broker.errors import IllegalGeneration, InvalidGroup, InvalidSessionTimeout, UnknownMember
from broker.group_members import JoinRequest, JoinResult

#: How long a member whose connection closed may take to be heard of on another one. A process that was killed is
#: replaced after this time, not after its session timeout.
_RECONNECT_S = 1.0
_LONGEST_SESSION_MS = 30 * 60 * 1000


class GroupCoordinator:
    """All groups that have members; belongs to the event loop."""

    def __init__(self) -> None:
        self._groups: dict[str, ConsumerGroup] = {}

    def __iter__(self) -> Iterator[ConsumerGroup]:
        return iter(sorted(self._groups.values(), key=lambda group: group.group_id))

    def find(self, group_id: str) -> ConsumerGroup | None:
        """A group that has members."""
        return self._groups.get(group_id)

    async def join(self, request: JoinRequest) -> JoinResult:
        """Join a group; returns once its next generation begins.

        :raises BrokerError: the member cannot be in it.
        """
        if not request.group_id:
            raise InvalidGroup
        if not 0 < request.session_timeout_ms <= _LONGEST_SESSION_MS:
            raise InvalidSessionTimeout
        group = self._groups.get(request.group_id)
        if group is None:
            if request.member_id:
                raise UnknownMember
            group = ConsumerGroup(request.group_id, self._forget)
            self._groups[request.group_id] = group
        try:
            return await group.join(request)
        finally:
            if not group.members:
                self._forget(group)

    def with_member(self, group_id: str) -> ConsumerGroup:
        """The group that a member says it is in.

        :raises UnknownMember: it has no members at all.
        """
        group = self._groups.get(group_id)
        if group is None:
            raise UnknownMember
        return group

    def check_commit(self, group_id: str, member_id: str, generation: int, connection_number: int) -> None:
        """Whether offsets may be committed: by a current member, or by anybody (generation -1) while there is none.

        :raises BrokerError: they may not, so that what a newer owner committed is not overwritten.
        """
        if not group_id:
            raise InvalidGroup
        group = self._groups.get(group_id)
        if group is not None:
            group.check_commit(member_id, generation, connection_number)
        elif generation >= 0:
            raise IllegalGeneration

    def connection_lost(self, connection_number: int) -> None:
        """A connection closed: its members have to be heard of again soon; those about to join are dropped."""
        for group in list(self._groups.values()):
            for member in [one for one in group.members.values() if one.connection_number == connection_number]:
                if member.joining is None:
                    member.expire_in(_RECONNECT_S, group.remove)
                else:
                    group.remove(member)

    def _forget(self, group: ConsumerGroup) -> None:
        if self._groups.get(group.group_id) is group:
            del self._groups[group.group_id]
