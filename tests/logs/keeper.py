"""The process that keeps one Apache Kafka for all who hold the `users` lock of a folder, and kills it after the last.

A lock falls with its holder, also by `kill -9`: no Kafka outlives its tests.
Started as `python -m tests.logs.keeper FOLDER`.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tests.logs.docker_node import docker_answers, docker_node
from tests.logs.errors import NoKafka
from tests.logs.java_node import JavaNode
from tests.logs.locks import held_if_free
from tests.logs.node import Node

#: Files of the folder: the lock of the users, and what the keeper has to say (where it is, or why there is none).
USERS, NAME, ADDRESS, REASON = "users", "name", "address", "reason"


def main(folder: Path) -> None:
    """Keep a Kafka until it is not needed any more, or leave a reason why there is none."""
    signal.signal(signal.SIGTERM, _end)
    try:
        with docker_node() if docker_answers() else _java_node() as node:
            _publish(folder / NAME, node.name)
            _publish(folder / ADDRESS, node.address)
            _until_unused(folder, node)
    except NoKafka as reason:
        _publish(folder / REASON, str(reason))


@contextlib.contextmanager
def _java_node() -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="postcall-kafka-", ignore_cleanup_errors=True) as folder:
        try:
            node = JavaNode(Path(folder))
        except NoKafka as reason:
            raise NoKafka(f"no Docker engine answers, and {reason}") from reason
        with contextlib.closing(node):
            node.start()
            yield node.node


def _until_unused(folder: Path, node: Node) -> None:
    while node.is_running():
        with held_if_free(folder / USERS) as is_unused:
            if is_unused:
                # Withdrawn under the lock: who comes now waits for it, and then starts another.
                (folder / ADDRESS).unlink()
                return
        time.sleep(0.1)


def _publish(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.rename(path)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
