"""Making an Apache Kafka empty between tests, which is quicker than starting another: all topics and groups go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove, NewTopic
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

from tests.logs.errors import NotOurs

#: A topic that says of a Kafka started by people that tests may delete whatever is in it.
CLAIM = "postcall-tests-may-delete-everything-here"
_FENCE = "postcall-tests-fence"
_LIMIT_S = 30
_GONE = ("OK", "GroupIdNotFoundError")
_NOT_YET = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "Kafka did not make or delete a topic in time"
        time.sleep(0.01)


class _Admin(KafkaAdminClient):  # type: ignore[misc]  # the library has no types
    """Tells a group's member ids only: what the tests' wire client says as a member cannot be decoded."""

    def _describe_groups_process_response(self, response: Any) -> dict[str, list[str]]:
        return {group.group_id: [member.member_id for member in group.members] for group in response.groups}


class Emptying:
    """A connection for deleting."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._admin = _Admin(bootstrap_servers=address)

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    def claim(self) -> None:
        """Make sure that nobody's topics are deleted but the tests'.

        :raises NotOurs: there are others.
        """
        topics = self._all_topics()
        if topics and CLAIM not in topics:
            raise NotOurs(
                f"The tests delete all topics, and {self._address} holds some: name an empty Kafka, or create {CLAIM}"
            )
        if not topics:
            self._admin.create_topics([NewTopic(CLAIM, 1, 1)])

    def empty(self) -> None:
        """Delete all topics and groups; returns when they are gone."""
        self._delete_groups()
        # Topics made a moment ago may not be listed yet; but what was made before a listed topic is.
        self._admin.create_topics([NewTopic(_FENCE, 1, 1)])
        _wait_until(lambda: _FENCE in self._all_topics())
        self._admin.delete_topics(sorted(self._all_topics() - {CLAIM}))
        _wait_until(lambda: not self._all_topics() - {CLAIM})

    def wait_for_groups(self) -> None:
        """Let Kafka make its own topic for groups, which it does when somebody looks for the first."""
        deadline = time.monotonic() + _LIMIT_S
        while True:
            try:
                self._admin.list_group_offsets(CLAIM)
            except _NOT_YET:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _all_topics(self) -> set[str]:
        return {name for name in self._admin.list_topics() if not name.startswith("__")}

    def _delete_groups(self) -> None:
        groups = [group["group_id"] for group in self._admin.list_groups()]
        if not groups:
            return
        for group, members in self._admin.describe_groups(groups).items():
            # Left behind by a process that was killed: it would hold the group until its session times out.
            self._admin.remove_group_members(group, [MemberToRemove(member_id) for member_id in members])
        refused = {group: said for group, said in self._admin.delete_groups(groups).items() if said not in _GONE}
        assert not refused, f"groups could not be deleted: {refused}"
