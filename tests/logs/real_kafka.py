"""An Apache Kafka for tests: the one that `POSTCALL_TEST_KAFKA` names, else one of our own for this test run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.logs.emptying import Emptying
from tests.logs.errors import NoKafka
from tests.logs.keeper import ADDRESS, NAME, REASON, USERS
from tests.logs.locks import held

_ROOT = Path(__file__).parents[2]
# Topics have fixed names, so there can be one test at a time, also when several processes share the tests.
_TURN = "turn"
_STARTING = "starting"


class RealKafka:
    """A Kafka whose topics and groups are the tests' to delete."""

    def __init__(self, address: str, folder: Path, emptying: Emptying, *, name: str) -> None:
        #: What is said of it to people.
        self.name = name
        self._address = address
        self._folder = folder
        self._emptying = emptying

    @contextlib.contextmanager
    def emptied(self) -> Iterator[str]:
        """Its address, once it is empty and nobody else's."""
        with held(self._folder / _TURN):
            self._emptying.empty()
            yield self._address


@contextlib.contextmanager
def real_kafka(folder: Path) -> Iterator[RealKafka]:
    """Use a Kafka; processes that name the same folder share one, and it ends with its last user.

    :raises NoKafka: none can be had; says why in one line.
    :raises NotOurs: the one that was named holds what is not from tests.
    """
    given = os.environ.get("POSTCALL_TEST_KAFKA")
    with contextlib.ExitStack() as stack:
        address = given or stack.enter_context(kept_kafka(folder))
        emptying = stack.enter_context(contextlib.closing(Emptying(address)))
        if given:
            emptying.claim()
        emptying.wait_for_groups()
        name = f"the Kafka at {given}" if given else (folder / NAME).read_text()
        yield RealKafka(address, folder, emptying, name=name)


@contextlib.contextmanager
def kept_kafka(folder: Path) -> Iterator[str]:
    """The address of a Kafka that a process of its own keeps for all who name the folder.

    :raises NoKafka: neither Docker nor Java can run one; says why in one line.
    """
    with contextlib.ExitStack() as stack:
        with held(folder / _STARTING):
            # Entered before the lock: left after it, when the keeper ends because nobody holds it.
            keepers = stack.enter_context(contextlib.ExitStack())
            stack.enter_context(held(folder / USERS, is_shared=True))
            if not (folder / ADDRESS).exists() and not (folder / REASON).exists():
                _wait_for_word(folder, keepers.enter_context(_keeper(folder)))
        if (folder / REASON).exists():
            raise NoKafka((folder / REASON).read_text())
        yield (folder / ADDRESS).read_text()


def _keeper(folder: Path) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for the tests, which then have the Kafka to clean up.
    with (folder / "keeper.log").open("wb") as output:
        return subprocess.Popen(
            (sys.executable, "-m", "tests.logs.keeper", str(folder)),
            cwd=_ROOT, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def _wait_for_word(folder: Path, keeper: subprocess.Popen[bytes]) -> None:
    while not (folder / ADDRESS).exists() and not (folder / REASON).exists():
        if keeper.poll() is not None and not (folder / REASON).exists():
            said = (folder / "keeper.log").read_text().strip().splitlines() or ["no reason given"]
            raise NoKafka(f"Apache Kafka could not be started: {said[-1][:300]}")
        time.sleep(0.05)
