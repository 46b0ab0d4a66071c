"""A slow stage of ours as a process, to be killed: the download of one session never ends, the others do at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from postcall.log_connection import LogConnection
from postcall.outcomes import Outcome
from postcall.requests import DownloadRecording
from postcall.service import Lifeline, run_service
from streams.run import run_stage
from tests.streams.ledger_worker import LedgerWorker, make_stage
from tests.streams.requests import download, stored

#: The number of the request that never ends.
HANGING = 0


async def _answer(request: DownloadRecording, attempt: int) -> Outcome:
    if request == download(HANGING):
        await asyncio.Event().wait()
    return stored(request, attempt)


def main(log: str, data_dir: Path) -> None:
    """Be the stage's process."""

    async def serve(lifeline: Lifeline) -> None:
        stage = make_stage(LedgerWorker(data_dir / "ledger", answer=_answer), log=log, data_dir=data_dir)
        await run_stage(
            stage, log=LogConnection(log), directory=data_dir, on_ready=lifeline.ready, stopping=lifeline.stopping
        )

    run_service("recordings", serve)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
