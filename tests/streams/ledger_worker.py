"""A worker that notes in a file whatever it is asked for, and, as a program, a stage around it to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from postcall.dead_letters import ErrorClass
from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.requests import DownloadRecording
from postcall.service import Lifeline, run_service
from postcall.topics import RECORDING_REQUESTS, RECORDINGS, Topic
from streams.run import run_stage
from streams.slow_stage import SlowStage
from streams.worker import Performed
from tests.streams.requests import stored

Answer = Callable[[DownloadRecording, int], Awaitable[Outcome | Performed]]


async def answer_stored(request: DownloadRecording, attempt: int) -> Outcome:
    """Every download works at once."""
    return stored(request, attempt)


class LedgerWorker:
    """Does what a test tells it, after noting the request."""

    stage = "recordings"
    requests: Topic = RECORDING_REQUESTS
    bulk_requests: Topic | None = None
    outcomes: Topic = RECORDINGS
    error_class: ErrorClass = "vendor"
    limit_s = 60.0

    def __init__(self, ledger: Path, *, answer: Answer = answer_stored, concurrency: int = 4) -> None:
        self.concurrency = concurrency
        self.ledger = ledger
        self._answer = answer

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def tell(self, outcome: Outcome) -> None:
        """Nothing to tell."""

    async def perform(self, request: DownloadRecording, *, attempt: int) -> Performed:
        """Note the request durably, then answer."""
        with self.ledger.open("a") as ledger:
            ledger.write(f"{request.session_id} {attempt}\n")
            ledger.flush()
            os.fsync(ledger.fileno())
        answer = await self._answer(request, attempt)
        return answer if isinstance(answer, Performed) else Performed(outcome=answer)


def read_ledger(ledger: Path) -> Counter[str]:
    """How often each `SESSION ATTEMPT` was performed."""
    return Counter(ledger.read_text().splitlines()) if ledger.exists() else Counter()


def make_stage(worker: LedgerWorker, *, log: str, data_dir: Path) -> SlowStage[DownloadRecording]:
    """The slow stage around it."""
    return SlowStage(worker, log=LogConnection(log), directory=data_dir)


async def _work_slowly(request: DownloadRecording, attempt: int) -> Outcome:
    await asyncio.sleep(0.03)
    return stored(request, attempt)


def main(log: str, data_dir: Path) -> None:
    """Be the stage's process."""

    async def serve(lifeline: Lifeline) -> None:
        worker = LedgerWorker(data_dir / "ledger", answer=_work_slowly)
        stage = make_stage(worker, log=log, data_dir=data_dir)
        await run_stage(
            stage, log=LogConnection(log), directory=data_dir, on_ready=lifeline.ready, stopping=lifeline.stopping
        )

    run_service("recordings", serve)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
