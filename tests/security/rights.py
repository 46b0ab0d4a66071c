"""Rights (ACLs) of users at a Kafka, given as `kafka-acls.sh` would give them."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

_OPERATIONS = {
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
    "Create": ACLOperation.CREATE,
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
}
_PATTERNS = {"literal": ACLResourcePatternType.LITERAL, "prefixed": ACLResourcePatternType.PREFIXED}
_EVERY = ACLFilter(
    None,
    None,
    ACLOperation.ANY,
    ACLPermissionType.ANY,
    ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)
_LIMIT_S = 10


class Rights:
    """An administrator's connection. Each call returns once the rights hold."""

    def __init__(self, address: str) -> None:
        self._admin = KafkaAdminClient(bootstrap_servers=address)

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    def give(self, options: str) -> None:
        """Give what `kafka-acls.sh` gives with these options."""
        wanted = len(self._all()) + len(acls := [*_parse(options)])
        self._admin.create_acls(acls)
        self._wait_until_there_are(wanted)

    def withdraw_all(self) -> None:
        """Take all rights from everybody."""
        self._admin.delete_acls([_EVERY])
        self._wait_until_there_are(0)

    def _all(self) -> list[ACL]:
        found: list[ACL] = self._admin.describe_acls(_EVERY)[0]
        return found

    def _wait_until_there_are(self, count: int) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while len(self._all()) != count:
            assert time.monotonic() < deadline, "the rights did not change in time"
            time.sleep(0.02)


def _parse(options: str) -> Iterator[ACL]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", choices=_OPERATIONS, required=True)
    parser.add_argument("--topic", action="append", default=[])
    parser.add_argument("--group", action="append", default=[])
    parser.add_argument("--resource-pattern-type", choices=_PATTERNS, default="literal")
    given = parser.parse_args(shlex.split(options))
    resources = [(ResourceType.TOPIC, name) for name in given.topic] + [
        (ResourceType.GROUP, name) for name in given.group
    ]
    for kind, name in resources:
        for operation in given.operation:
            yield ACL(
                given.allow_principal,
                "*",
                _OPERATIONS[operation],
                ACLPermissionType.ALLOW,
                ResourcePattern(kind, name, _PATTERNS[given.resource_pattern_type]),
            )
