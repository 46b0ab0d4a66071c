"""What a node of Apache Kafka for tests is, however it is run: its settings, its ports, and when it serves."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.logs.errors import NoKafka

#: How long a node may take to start on a busy machine.
START_LIMIT_S = 90


@dataclass(frozen=True, kw_only=True)
class Node:
    """A running node: what and where it is, and whether it still is."""

    name: str
    address: str
    is_running: Callable[[], bool]


def server_properties(*, listen: str, port: int, controller_port: int, advertised_port: int) -> dict[str, str]:
    """What differs from Kafka's defaults: one node of everything, topics made on request only, and no waiting."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{listen}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{advertised_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def until_listening(node: Node) -> Node:
    """Return the node once it takes connections.

    :raises NoKafka: it does not, or has ended.
    """
    host, _, port = node.address.rpartition(":")
    deadline = time.monotonic() + START_LIMIT_S
    while node.is_running() and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return node
        time.sleep(0.05)
    raise NoKafka(f"Apache Kafka did not open {node.address} within {START_LIMIT_S} s, or ended before")


def free_ports() -> tuple[int, int]:
    """Two ports that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]
