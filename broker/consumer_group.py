"""One consumer group: Kafka's classic rebalance protocol.

A rebalance has two halves. *Preparing*: every member joins again, or is dropped after the rebalance timeout.
*Completing*: the leader, one of the members, computes who reads what, and the others wait for it. Unlike Apache Kafka,
the first member of an empty group does not wait three seconds for others. Static membership is left out.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum

from broker.errors import (
    BrokerError,
    IllegalGeneration,
    InconsistentGroupProtocol,
    RebalanceInProgress,
    UnknownMember,
)
from broker.group_members import JoinRequest, JoinResult, Member

logger = logging.getLogger(__name__)


class GroupState(StrEnum):
    """Kafka's names for the states of a group."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"


class ConsumerGroup:
    """The members of a group and their generation. `emptied` is called when the last one has left."""

    def __init__(self, group_id: str, emptied: Callable[[ConsumerGroup], None]) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol_name = ""
        self.members: dict[str, Member] = {}
        self._leader_id = ""
        self._emptied = emptied
        self._deadline: asyncio.TimerHandle | None = None

    async def join(self, request: JoinRequest) -> JoinResult:
        """Take part in the next generation; returns once it begins.

        :raises UnknownMember: the member id is not one of this group's.
        :raises InconsistentGroupProtocol: there is no assignment strategy that all members know.
        """
        self._check_protocols(request)
        member = self._member(request.member_id) if request.member_id else self._add_member(request)
        is_unchanged = member.request.protocols == request.protocols
        member.request = request
        member.connection_number = request.connection_number
        if request.member_id and is_unchanged and self._may_stay(member):
            member.keep_alive(self.remove)
            return self._join_result(member)
        if member.joining is not None and not member.joining.done():
            member.joining.set_exception(RebalanceInProgress())
        joining: asyncio.Future[JoinResult] = asyncio.get_running_loop().create_future()
        member.joining = joining
        member.stop_timer()
        self._prepare_rebalance()
        return await joining

    async def sync(
        self, member_id: str, generation: int, connection_number: int, assignments: Mapping[str, bytes]
    ) -> bytes:
        """What a member is assigned; the leader brings the assignments of all.

        :raises RebalanceInProgress: another rebalance has begun; join again.
        """
        member = self._current_member(member_id, generation, connection_number)
        if self.state is GroupState.STABLE:
            return member.assignment
        if self.state is not GroupState.COMPLETING:
            raise RebalanceInProgress
        syncing: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        member.syncing = syncing
        if member_id == self._leader_id:
            self._assign(assignments)
        return await syncing

    def heartbeat(self, member_id: str, generation: int, connection_number: int) -> None:
        """A member is alive.

        :raises RebalanceInProgress: it has to join again.
        """
        self._current_member(member_id, generation, connection_number)
        if self.state is GroupState.PREPARING:
            raise RebalanceInProgress

    def check_commit(self, member_id: str, generation: int, connection_number: int) -> None:
        """Whether a member may commit offsets now.

        :raises RebalanceInProgress: its partitions may already be another member's.
        """
        self._current_member(member_id, generation, connection_number)
        if self.state is GroupState.COMPLETING:
            raise RebalanceInProgress

    def leave(self, member_id: str) -> None:
        """A member goes, in order.

        :raises UnknownMember: it is not one of this group's.
        """
        self.remove(self._member(member_id))

    def remove(self, member: Member) -> None:
        """Drop a member that left, or of which nothing was heard for too long."""
        if self.members.pop(member.member_id, None) is None:
            return
        logger.info(
            "Member left its group",
            extra={"action": "member_removed", "group": self.group_id, "member": member.member_id},
        )
        member.stop_timer()
        _fail(member, UnknownMember())
        if self.members:
            self._prepare_rebalance()
        else:
            self._become_empty()

    def metadata_of(self, member: Member) -> bytes:
        """What a member offered for the strategy in use."""
        return member.request.protocols.get(self.protocol_name, b"")

    def _check_protocols(self, request: JoinRequest) -> None:
        others = [member for member in self.members.values() if member.member_id != request.member_id]
        shared = set(request.protocols).intersection(*(member.request.protocols for member in others))
        is_of_one_type = not others or request.protocol_type == self.protocol_type
        if not shared or not is_of_one_type:
            raise InconsistentGroupProtocol
        self.protocol_type = request.protocol_type

    def _add_member(self, request: JoinRequest) -> Member:
        member_id = f"{request.client_id}-{uuid.uuid4()}"
        member = Member(member_id=member_id, request=request, connection_number=request.connection_number)
        self.members[member_id] = member
        return member

    def _may_stay(self, member: Member) -> bool:
        is_repeat = self.state is GroupState.COMPLETING
        return is_repeat or (self.state is GroupState.STABLE and member.member_id != self._leader_id)

    def _member(self, member_id: str) -> Member:
        try:
            return self.members[member_id]
        except KeyError:
            raise UnknownMember from None

    def _current_member(self, member_id: str, generation: int, connection_number: int) -> Member:
        member = self._member(member_id)
        if generation != self.generation:
            raise IllegalGeneration
        member.connection_number = connection_number
        member.keep_alive(self.remove)
        return member

    def _prepare_rebalance(self) -> None:
        if self.state is not GroupState.PREPARING:
            self.state = GroupState.PREPARING
            for member in self.members.values():
                _fail_sync(member, RebalanceInProgress())
            timeout_ms = max(member.request.rebalance_timeout_ms for member in self.members.values())
            self._deadline = asyncio.get_running_loop().call_later(timeout_ms / 1000, self._complete_join)
        if all(member.joining is not None for member in self.members.values()):
            self._complete_join()

    def _complete_join(self) -> None:
        self._stop_deadline()
        for member in [member for member in self.members.values() if member.joining is None]:
            member.stop_timer()
            del self.members[member.member_id]
        if not self.members:
            self._become_empty()
            return
        self.generation += 1
        self.state = GroupState.COMPLETING
        self.protocol_name = self._elect_protocol()
        if self._leader_id not in self.members:
            self._leader_id = next(iter(self.members))
        for member in self.members.values():
            self._answer_join(member)
        logger.info(
            "Group begins a generation",
            extra={
                "action": "generation_began",
                "group": self.group_id,
                "generation": self.generation,
                "members": len(self.members),
            },
        )

    def _answer_join(self, member: Member) -> None:
        if member.joining is not None and not member.joining.done():
            member.joining.set_result(self._join_result(member))
        member.joining = None
        member.keep_alive(self.remove)

    def _join_result(self, member: Member) -> JoinResult:
        is_leader = member.member_id == self._leader_id
        return JoinResult(
            generation=self.generation,
            protocol_name=self.protocol_name,
            leader_id=self._leader_id,
            member_id=member.member_id,
            members={one.member_id: self.metadata_of(one) for one in self.members.values()} if is_leader else {},
        )

    def _elect_protocol(self) -> str:
        offers = [list(member.request.protocols) for member in self.members.values()]
        shared = set(offers[0]).intersection(*offers)
        votes = Counter(next(name for name in offer if name in shared) for offer in offers)
        return votes.most_common(1)[0][0]

    def _assign(self, assignments: Mapping[str, bytes]) -> None:
        self.state = GroupState.STABLE
        for member in self.members.values():
            member.assignment = assignments.get(member.member_id, b"")
            if member.syncing is not None and not member.syncing.done():
                member.syncing.set_result(member.assignment)
            member.syncing = None

    def _become_empty(self) -> None:
        self._stop_deadline()
        self.state = GroupState.EMPTY
        self._emptied(self)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _fail(member: Member, error: BrokerError) -> None:
    if member.joining is not None and not member.joining.done():
        member.joining.set_exception(error)
    member.joining = None
    _fail_sync(member, error)


def _fail_sync(member: Member, error: BrokerError) -> None:
    if member.syncing is not None and not member.syncing.done():
        member.syncing.set_exception(error)
    member.syncing = None
