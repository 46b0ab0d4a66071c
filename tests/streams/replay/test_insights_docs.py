"""The commands of docs/replay-insights.md, run in their order on past calls, print what the page shows."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from postcall.decisions import ReplayStarted
from postcall.supervisor import postcall_command
from projections.files import make_serving
from projections.warehouse import Warehouse
from tests.docs.test_readme import shown_on
from tests.projections.logbook import apply_records, number_records
from tests.streams.replay.paid_model import ended_record
from tests.streams.replay.past_calls import PastCalls

PAGE = (Path(__file__).parents[3] / "docs" / "replay-insights.md").read_text("utf-8")
_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
#: How many analyses end between reaching a budget and seeing that it is reached is up to the machine.
_PAUSED_AT = re.compile(r"^\d+ of 12 sessions have their outcome: \d+ done\. Spent: 0\.00[0-6]\d USD\.$")
#: The schema is part of what is sent, and other releases of Pydantic write it at another length.
_ESTIMATE = re.compile(r"0\.05\d\d USD: 1\d{4} tokens in")


def without_chance(line: str) -> str:
    """A line of output without what differs from run to run."""
    return _ESTIMATE.sub("ESTIMATE", _PAUSED_AT.sub("PAUSED", _RUN_ID.sub("RUN", line.rstrip())))


@pytest.mark.timeout(180)
async def test_commands_print_what_the_page_shows(calls: PastCalls, tmp_path: Path) -> None:
    past = await calls.end_calls(*range(12))
    warehouse = Warehouse(tmp_path / "warehouse-1.duckdb")
    apply_records(warehouse, number_records(ended_record(event) for event in past))
    warehouse.close()
    make_serving(tmp_path / "warehouse-1.duckdb")
    shown = shown_on(PAGE)
    assert len(shown) == 3
    async with calls.stage(concurrency=2):
        for command, lines in shown:
            printed = [without_chance(line) for line in await _run(command, calls, tmp_path)]
            # The counts, which come first each time, are shown once.
            assert printed[-len(lines) :] == [without_chance(line) for line in lines]


async def _run(command: str, calls: PastCalls, data_dir: Path) -> list[str]:
    """What a command of the page prints, on this log and with the id of its own run."""
    run_ids = [str(each.run_id) for each in await calls.decisions() if isinstance(each, ReplayStarted)]
    program, *words = shlex.split(_RUN_ID.sub(run_ids[0], command) if run_ids else command)
    assert program == "postcall"
    process = await asyncio.create_subprocess_exec(
        *postcall_command(*words),
        env=os.environ
        | calls.model.environment
        | {
            "POSTCALL_ENV_FILE": "",
            "POSTCALL_CONFIG": os.devnull,
            "POSTCALL_DATA_DIR": str(data_dir),
            "POSTCALL_KAFKA": calls.address,
            "POSTCALL_ANALYSIS_CONCURRENCY": "2",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode().splitlines()
