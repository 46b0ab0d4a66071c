"""A log of a test's own, to which anything may happen: stopped as SIGSTOP does, and woken again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.broker.log_process import running_log
from tests.logs.counting import EMBEDDED, note_log
from tests.logs.errors import NoKafka
from tests.logs.java_node import JavaNode


@dataclass(frozen=True, kw_only=True)
class StoppableLog:
    """An empty log."""

    address: str
    pause: Callable[[], None]
    resume: Callable[[], None]


@contextlib.contextmanager
def stoppable_log(test: pytest.Item, folder: Path, *, is_kafka: bool) -> Iterator[StoppableLog]:
    """An embedded log, or an Apache Kafka; woken and ended with the block."""
    with _running_kafka(test, folder) if is_kafka else _running_embedded(test, folder) as log:
        try:
            yield log
        finally:
            log.resume()


@contextlib.contextmanager
def _running_embedded(test: pytest.Item, folder: Path) -> Iterator[StoppableLog]:
    note_log(test, EMBEDDED)
    with running_log(folder) as log:
        yield StoppableLog(
            address=log.address,
            pause=lambda: os.kill(log.pid, signal.SIGSTOP),
            resume=lambda: os.kill(log.pid, signal.SIGCONT),
        )


@contextlib.contextmanager
def _running_kafka(test: pytest.Item, folder: Path) -> Iterator[StoppableLog]:
    folder.mkdir(exist_ok=True)
    try:
        node = JavaNode(folder, niceness=5)
    except NoKafka as reason:
        message = f"No Apache Kafka of a test's own, which runs in Java only: {reason}"
        if os.environ.get("POSTCALL_TEST_REQUIRE_KAFKA"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    note_log(test, node.name)
    with contextlib.closing(node):
        node.start()
        yield StoppableLog(address=node.address, pause=node.pause, resume=node.resume)
