"""The tests' own Kafka: it is shared, it ends with its users, and nobody else's is emptied."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broker.admin import create_topics
from tests.logs.emptying import CLAIM, Emptying
from tests.logs.errors import NoKafka, NotOurs
from tests.logs.real_kafka import kept_kafka
from tests.waiting import eventually

_USER = """
import sys, time
from pathlib import Path
from tests.logs.real_kafka import kept_kafka
with kept_kafka(Path(sys.argv[1])) as address:
    print(address, flush=True)
    time.sleep(600)
"""


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def start_user(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen((sys.executable, "-c", _USER, str(folder)), stdout=subprocess.PIPE, text=True)


@pytest.mark.kafka
async def test_a_kafka_is_shared_and_ends_with_a_user_that_was_killed(tmp_path: Path) -> None:
    with start_user(tmp_path) as user:
        assert user.stdout is not None
        address = user.stdout.readline().strip()
        if not address:
            pytest.skip("No Apache Kafka to start")
        with kept_kafka(tmp_path) as shared:
            user.kill()
            user.wait()
            assert shared == address
            assert answers(address)
    await eventually(lambda: not answers(address))


def test_a_machine_without_java_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoKafka, match="java is not installed"), kept_kafka(tmp_path):
        pass


async def test_a_kafka_that_holds_topics_of_others_is_left_alone(log_address: str) -> None:
    await create_topics(log_address, "orders")
    with contextlib.closing(Emptying(log_address)) as emptying, pytest.raises(NotOurs, match=CLAIM):
        emptying.claim()


async def test_a_kafka_that_was_empty_is_the_tests_from_then_on(log_address: str) -> None:
    with contextlib.closing(Emptying(log_address)) as emptying:
        emptying.claim()
        await create_topics(log_address, "calls")
        emptying.claim()
        emptying.empty()
    await create_topics(log_address, "calls")
