"""A stage of ours as a process, which hangs in `take` when it is to wait, and says so in a file."""

from __future__ import annotations

import sys
from pathlib import Path

from postcall.log_connection import LogConnection
from postcall.service import Lifeline, run_service
from streams.run import run_stage
from tests.streams.faust_defects.watched_stage import WatchedStage


def main(log: str, directory: Path) -> None:
    """Be the stage's process."""

    async def serve(lifeline: Lifeline) -> None:
        await run_stage(
            WatchedStage(log, directory),
            log=LogConnection(log),
            directory=directory,
            on_ready=lifeline.ready,
            stopping=lifeline.stopping,
        )

    run_service("normalize", serve)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
