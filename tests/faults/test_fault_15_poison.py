"""Fault 15: records that our code fails with, loops with, eats memory with or dies with; all others go on.

All lie in one partition, so that nothing goes on beside the poison that does not go on after it. How long a loop is
suffered and how much memory a stage has is less here than otherwise; all else is as in `postcall streams`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from postcall.dead_letters import DeadLetter
from postcall.kafka import append, open_producer
from postcall.log import encode, open_record
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.requests import DownloadRecording
from postcall.supervisor import Child, StateChange, Supervisor
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import DEAD_LETTERS, EVENTS, RECORDINGS, STAGE_INPUTS
from streams.failures import CRASHED, MAX_CRASHES
from streams.watchdog import EXIT_CODE
from tests.faults.oracle import read_topic
from tests.faults.poisoned_stage import account_of
from tests.streams.deliveries import deliver
from tests.streams.requests import AT
from tests.waiting import eventually

_ROOT: Final = Path(__file__).parents[2]
#: Longer than a child's beats are apart.
_SILENCE_LIMIT_S: Final = 7.0
_RESULTS: Final = {"normalize": EVENTS, "recordings": RECORDINGS}
#: What our code only fails with; there is no limit of memory on macOS.
_FAILING: Final = {"fail": "KeyError in _fail"} | (
    {"hoard": "MemoryError in _hoard"} if sys.platform == "linux" else {}
)
#: Stage, poison, and how its processes end.
_DEADLY: Final = [
    ("normalize", "crash", -signal.SIGSEGV),
    ("normalize", "loop", EXIT_CODE),
    ("recordings", "exit", 3),
    ("recordings", "hold", -signal.SIGKILL),
]


def _source(stage: str, session_id: str) -> NewRecord:
    if stage == "recordings":
        url = f"https://api.example/{session_id}"
        request = DownloadRecording(session_id=session_id, vendor="layercode", url=url)
        return encode(request, source="plan", time=AT)
    body = {"type": "message", "session_id": session_id, "conversation_id": "c-1", "turn_id": "t-1", "text": "Hello."}
    return deliver(body, session_id=session_id)


class _Poisoned:
    """A log with poison in it, for one stage."""

    def __init__(self, stage: str, address: str, data_dir: Path) -> None:
        self.stage = stage
        self.changes: list[StateChange] = []
        self.sessions: list[str] = []
        self.account = account_of(data_dir)
        self._address = address
        self._data_dir = data_dir

    @property
    def exit_codes(self) -> Counter[int | None]:
        """How its processes ended so far."""
        return Counter(change.exit_code for change in self.changes if change.state == "exited")

    async def put(self, *sessions: str) -> None:
        """Append a record for each."""
        self.sessions += sessions
        async with open_producer(LogConnection(self._address)) as producer:
            await append(producer, [_source(self.stage, session_id) for session_id in sessions])

    @contextlib.asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Let the stage run, and be started again whenever it dies."""
        program = (sys.executable, "-m", "tests.faults.poisoned_stage", self.stage, self._address, str(self._data_dir))
        child = Child(name=self.stage, command=program, environment={**os.environ, "PYTHONPATH": str(_ROOT)})
        with (self._data_dir / "output").open("ab") as output:
            supervisor = Supervisor(on_change=self.changes.append, output=output, silence_limit_s=_SILENCE_LIMIT_S)
            try:
                await supervisor.start(child)
                yield
            finally:
                await supervisor.stop()

    async def until_done(self, sessions: Sequence[str]) -> None:
        """Return once each has a result."""

        async def are_done() -> bool:
            results = await read_topic(LogConnection(self._address), _RESULTS[self.stage].name)
            return {session_id.encode() for session_id in sessions} <= {result.key for result in results}

        await eventually(are_done, timeout_s=120)

    async def letters(self) -> dict[str | None, DeadLetter]:
        """What was set aside, by session."""
        records = await read_topic(LogConnection(self._address), DEAD_LETTERS.name)
        found = [open_record(record).message for record in records]
        return {letter.session_id: letter for letter in found if isinstance(letter, DeadLetter)}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("stage", "poison", "exit_code"), _DEADLY)
async def test_fault_15_poison_is_set_aside_after_bounded_tries_and_the_partition_goes_on(
    log_address: str, tmp_path: Path, stage: str, poison: str, exit_code: int
) -> None:
    await create_topics(LogConnection(log_address), TopicSettings(partitions=1))
    poisoned = _Poisoned(stage, log_address, tmp_path)
    innocent = [f"s-{number}" for number in range(12)]
    # The worst comes right after the first that fails: whether it gets through is asked then.
    await poisoned.put(
        *innocent[:3],
        "fail-1",
        f"{poison}-1",
        *innocent[3:6],
        *(f"{kind}-1" for kind in list(_FAILING)[1:]),
        *innocent[6:],
    )
    async with poisoned.supervised():
        await poisoned.until_done(innocent)

        async def are_set_aside() -> bool:
            return len(await poisoned.letters()) >= 1 + len(_FAILING)

        await eventually(are_set_aside, timeout_s=120)
        deaths = poisoned.exit_codes.total()
        await poisoned.put("s-later")
        await poisoned.until_done(["s-later"])
        assert poisoned.exit_codes.total() == deaths, "it was run again after it was set aside"
    letters = await poisoned.letters()
    for session_id, letter in letters.items():
        assert (letter.stage, letter.error_class, letter.attempts) == (stage, "bug", 3)
        assert (letter.kafka_topic, letter.kafka_partition) == (STAGE_INPUTS[stage].name, 0)
        assert poisoned.sessions[letter.kafka_offset] == session_id, "the pointer is to another record"
    reasons = {str(session_id).partition("-")[0]: letter.reason for session_id, letter in letters.items()}
    assert reasons.pop(poison) == CRASHED
    assert {kind: reason.partition(",")[0] for kind, reason in reasons.items()} == _FAILING
    # A process that died for another reason, on a busy machine, counts against what it was at.
    assert 1 < poisoned.account.begun()[f"{poison}-1"] <= MAX_CRASHES
    assert poisoned.exit_codes[exit_code] >= poisoned.account.begun()[f"{poison}-1"]
    assert not any(poisoned.account.company_of(f"{poison}-1")[1:]), "a suspect ran beside others"
    if poison == "hold":
        assert "silent" in {change.state for change in poisoned.changes}


@pytest.mark.timeout(180)
async def test_fault_15_what_was_set_aside_is_not_run_again_though_the_next_one_kills_at_once(
    log_address: str, tmp_path: Path
) -> None:
    """Its offset is not committed yet then, so it is read again."""
    await create_topics(LogConnection(log_address), TopicSettings(partitions=1))
    poisoned = _Poisoned("normalize", log_address, tmp_path)
    await poisoned.put("s-1", "exit-1", "exit-2", "s-2")
    async with poisoned.supervised():
        await poisoned.until_done(["s-1", "s-2"])
    letters = await poisoned.letters()
    assert {session_id: letter.reason for session_id, letter in letters.items()} == {
        "exit-1": CRASHED,
        "exit-2": CRASHED,
    }
    begun = poisoned.account.begun()
    assert max(begun["exit-1"], begun["exit-2"]) <= MAX_CRASHES
