"""A record whose body failed, or was cancelled, counts as done.

`Stream.__aiter__` acknowledges a record in a `finally`, whenever its loop body is left: by an exception or by a
cancellation, too. The supervisor starts the agent again, and it goes on behind the record.

Our stages read the stream without acknowledgements, and give them after `take` has returned.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from tests.streams.faust_defects.partitions import (
    PLAIN_GROUP,
    STAGE_GROUP,
    TOPIC,
    append_values,
    committed,
    has_committed,
)
from tests.streams.faust_defects.plain_app import CANCEL, FAIL, GO, WAIT, PlainApp
from tests.streams.faust_defects.watched_stage import WatchedStage
from tests.streams.running import running
from tests.streams.stage_process import stage_process
from tests.waiting import eventually


async def test_plain_faust_passes_over_what_failed_and_what_was_cancelled(log: str, tmp_path: Path) -> None:
    app = PlainApp(log=log, topic=TOPIC.name, directory=str(tmp_path / "plain"))
    await append_values(log, 0, FAIL, CANCEL, GO)
    with app.running():
        await eventually(partial(has_committed, log, PLAIN_GROUP, 0, 3), timeout_s=60)
    assert app.begun == [(0, 0), (0, 1), (0, 2)]
    assert app.done == [(0, 2)]


async def test_our_stage_tries_again_what_failed(log: str, tmp_path: Path) -> None:
    stage = WatchedStage(log, tmp_path)
    await append_values(log, 0, FAIL)
    async with running(stage, log=log, data_dir=tmp_path):
        await eventually(lambda: stage.begun[0, 0] >= 3)
        committed_meanwhile = await committed(log, STAGE_GROUP)
        stage.gate.set()
        await eventually(partial(has_committed, log, STAGE_GROUP, 0, 1))
    assert committed_meanwhile.get(0, 0) == 0
    assert stage.taken == {(0, 0): 1}


async def test_our_stage_takes_again_what_was_cut_off_by_its_stop(log: str, tmp_path: Path) -> None:
    stage = WatchedStage(log, tmp_path / "second")
    stage.gate.set()
    await append_values(log, 0, WAIT)
    program = ("tests.streams.faust_defects.hanging_stage", log, str(tmp_path / "first"))
    with stage_process(*program, log_file=tmp_path / "log") as process:
        await eventually((tmp_path / "first" / "waits").exists, timeout_s=60)
        os.kill(process.pid, signal.SIGTERM)
        await process.until_logged("action=stop_cut_short", timeout_s=60)
    assert (await committed(log, STAGE_GROUP)).get(0, 0) == 0
    async with running(stage, log=log, data_dir=stage.directory):
        await eventually(partial(has_committed, log, STAGE_GROUP, 0, 1))
    assert stage.taken == {(0, 0): 1}
