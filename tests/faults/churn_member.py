"""One of the workers that come and go, as a program: a stage in which now and then a record is slow.

`normalize` is slow where a stage should not be, in `take`; what it derives from a delivery is a copy. `recordings` is
slow where it may be, in its worker.

    python -m tests.faults.churn_member normalize HOST:PORT DIRECTORY LEDGER
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.records import NewRecord, Record
from postcall.requests import DownloadRecording
from postcall.service import Lifeline, run_service
from postcall.topics import EVENTS
from streams.processes import _LEFTOVER_LIMIT_S, _exit_after, _guard_stop
from streams.quiet_libraries import quieten_libraries
from streams.run import run_stage
from streams.stage import Stage
from streams.transform import TransformStage
from tests.streams.ledger_worker import LedgerWorker, make_stage
from tests.streams.requests import stored

SLOW_S = 1.5
#: What a delivery says that is slow, and what the address of such a recording ends with.
SLOW = b"slow"
CAUSE = "cause"


class _SlowlyTaking(TransformStage):
    """Takes its time for some records."""

    async def take(self, records: Sequence[Record]) -> None:
        if any(record.value == SLOW for record in records):
            await asyncio.sleep(SLOW_S)
        await super().take(records)


def _copy(record: Record) -> list[NewRecord]:
    headers = ((CAUSE, str(record.position).encode()),)
    return [NewRecord(topic=EVENTS.name, key=record.key, value=record.value, headers=headers)]


async def _download(request: DownloadRecording, attempt: int) -> Outcome:
    await asyncio.sleep(SLOW_S if request.url.endswith(SLOW.decode()) else 0.01)
    return stored(request, attempt)


def _make_stage(name: str, log: str, directory: Path, ledger: Path) -> Stage:
    if name == "normalize":
        return _SlowlyTaking(name, _copy, log=LogConnection(log), directory=directory)
    return make_stage(LedgerWorker(ledger, answer=_download), log=log, data_dir=directory)


def main(name: str, log: str, directory: Path, ledger: Path) -> None:
    """Be the stage's process: as all of them are, but for what the stage does."""
    directory.mkdir(exist_ok=True)

    async def serve(lifeline: Lifeline) -> None:
        quieten_libraries()
        stage = _make_stage(name, log, directory, ledger)
        guard = asyncio.create_task(_guard_stop(lifeline))
        try:
            await run_stage(
                stage, log=LogConnection(log), directory=directory, on_ready=lifeline.ready, stopping=lifeline.stopping
            )
        finally:
            guard.cancel()
            _exit_after(_LEFTOVER_LIMIT_S, 0 if lifeline.stopping.is_set() else 1)

    run_service(name, serve)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
