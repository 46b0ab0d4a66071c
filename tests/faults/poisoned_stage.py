"""A stage whose own code is poisoned by some sessions, as a program: what `postcall streams` runs, with shorter limits.

Started as `python -m tests.faults.poisoned_stage STAGE LOG DATA_DIR`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.records import NewRecord, Record
from postcall.requests import DownloadRecording
from postcall.service import Lifeline, run_service
from postcall.settings import Configuration
from postcall.sources import load_sources
from streams.memory_limit import limit_memory
from streams.normalize import normalize
from streams.quiet_libraries import quieten_libraries
from streams.run import run_stage
from streams.slow_stage import SlowStage
from streams.stage import Stage
from streams.transform import TransformStage
from streams.watchdog import Watchdog
from tests.streams.ledger_worker import LedgerWorker
from tests.streams.requests import stored

#: Shorter than what a stage is given, three times of which would be long.
LOOP_LIMIT_S: Final = 4.0
MEMORY_LIMIT_BYTES: Final = 1024**3


def _loop() -> None:
    while True:
        time.sleep(0.01)


def _hold() -> None:
    """Loop where not even other threads of the process run."""
    re.match(r"(a|a)*$", 60 * "a" + "b")


def _hoard() -> None:
    hoard = []
    while True:
        hoard.append(bytes(64 * 1024**2))


def _fail() -> None:
    raise KeyError("My boiler is leaking")


#: What the code does with a session whose id begins so.
POISONS: Final[dict[str, Callable[[], object]]] = {
    "fail": _fail,
    "loop": _loop,
    "hold": _hold,
    "hoard": _hoard,
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: ctypes.string_at(0),
}


class Account:
    """What was begun and ended, in a file that survives whatever becomes of the process: `PID begin|end SESSION`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _note(self, word: str, session_id: str) -> None:
        with self._file.open("ab", buffering=0) as file:
            file.write(f"{os.getpid()} {word} {session_id}\n".encode())

    @contextlib.contextmanager
    def noting(self, session_id: str) -> Iterator[None]:
        """Note the block's begin, and its end if it has one."""
        self._note("begin", session_id)
        try:
            yield
        finally:
            self._note("end", session_id)

    def lines(self) -> list[tuple[str, str, str]]:
        """All lines so far: process, word, session."""
        text = self._file.read_text() if self._file.exists() else ""
        return [(pid, word, session_id) for pid, word, session_id in (line.split() for line in text.splitlines())]

    def begun(self) -> Counter[str]:
        """How often each session was begun."""
        return Counter(session_id for _, word, session_id in self.lines() if word == "begin")

    def company_of(self, session_id: str) -> list[set[str]]:
        """Each time that this session was begun: what else was under way in that process."""
        company = []
        under_way: dict[str, set[str]] = {}
        for pid, word, each in self.lines():
            others = under_way.setdefault(pid, set())
            if word == "end":
                others.discard(each)
            else:
                if each == session_id:
                    company.append(set(others))
                others.add(each)
        return company


def _take_poison(session_id: str) -> None:
    poison = POISONS.get(session_id.partition("-")[0])
    if poison is not None:
        poison()


def _transform(account: Account, log: LogConnection, data_dir: Path) -> Stage:
    derive = partial(normalize, sources=load_sources(Configuration()))

    def derive_poisoned(record: Record) -> Sequence[NewRecord]:
        session_id = (record.key or b"").decode()
        with account.noting(session_id):
            _take_poison(session_id)
            return derive(record)

    return TransformStage("normalize", derive_poisoned, log=log, directory=data_dir)


def _slow(account: Account, log: LogConnection, data_dir: Path) -> Stage:
    async def work_poisoned(request: DownloadRecording, attempt: int) -> Outcome:
        with account.noting(request.session_id):
            # Others begin meanwhile, if they may.
            await asyncio.sleep(0.2)
            _take_poison(request.session_id)
            return stored(request, attempt)

    return SlowStage(LedgerWorker(data_dir / "ledger", answer=work_poisoned), log=log, directory=data_dir)


_STAGES: Final = {"normalize": _transform, "recordings": _slow}


def account_of(data_dir: Path) -> Account:
    """What the stage in this directory began."""
    return Account(data_dir / "account")


def main(name: str, address: str, data_dir: Path) -> None:
    """Be the stage's process."""

    async def serve(lifeline: Lifeline) -> None:
        quieten_libraries()
        limit_memory(MEMORY_LIMIT_BYTES)
        log = LogConnection(address)
        watching = asyncio.create_task(Watchdog(limit_s=LOOP_LIMIT_S).keep())
        await run_stage(
            _STAGES[name](account_of(data_dir), log, data_dir),
            log=log,
            directory=data_dir,
            on_ready=lifeline.ready,
            stopping=lifeline.stopping,
            on_pause=lifeline.paused,
        )
        watching.cancel()

    run_service(name, serve)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
