"""A Kafka of a test's own, to which anything may happen, and one behind a network to which anything may happen."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy, open_proxy
from tests.logs.counting import note_log
from tests.logs.errors import NoKafka
from tests.logs.java_node import JavaNode
from tests.projections.service import StartService, starting_services


@pytest.fixture
def own_kafka(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JavaNode]:
    """An empty Apache Kafka that is this test's to pause, kill and empty; it takes a few seconds to start."""
    with _running_node(request.node, tmp_path) as node:
        yield node


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[StartService]:
    """Start the projections service on a log and a data directory; whatever still runs at the end is killed."""
    with starting_services(tmp_path) as start:
        yield start


@pytest.fixture
async def network(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Proxy]:
    """All that leads to an empty Apache Kafka of this test's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with _running_node(request.node, tmp_path, advertised_port=port) as node:
            async with open_proxy(listener, target=node.address) as proxy:
                yield proxy


@contextlib.contextmanager
def _running_node(test: pytest.Item, tmp_path: Path, *, advertised_port: int | None = None) -> Iterator[JavaNode]:
    folder = tmp_path / "own-kafka"
    folder.mkdir()
    try:
        node = JavaNode(folder, advertised_port=advertised_port, niceness=5)
    except NoKafka as reason:
        message = f"No Apache Kafka of a test's own, which runs in Java only: {reason}"
        if os.environ.get("POSTCALL_TEST_REQUIRE_KAFKA"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    note_log(test, node.name)
    with contextlib.closing(node):
        node.start()
        yield node
