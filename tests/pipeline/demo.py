"""Running `postcall demo` as a user does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from postcall.simulator.schedule import Expected, plan_schedule
from postcall.supervisor import postcall_command


@asynccontextmanager
async def running_demo(data_dir: Path, *, calls: int, seed: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """`postcall demo --once --json` with output to be read; ended with the block, whatever happens in it."""
    options = ["--once", "--json", "--calls", str(calls), "--seed", str(seed), "--data-dir", str(data_dir)]
    process = await asyncio.create_subprocess_exec(
        *postcall_command("demo", *options),
        env={**os.environ, "OPENAI_API_KEY": "the demo must not use this", "POSTCALL_PORT": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def finish_demo(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The JSON object on the last line of stdout of a demo that succeeded, less its duration."""
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err
    summary: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    assert summary.pop("seconds") > 0
    return summary


def summary_of(expected: Expected) -> dict[str, int]:
    """What the demo must report, from what the vendor knows."""
    return {
        "calls": expected.calls,
        "webhooks": expected.webhooks,
        "sessions": expected.sessions,
        "transcripts": expected.turns,
        "recordings": expected.recordings_stored,
        "insights": expected.calls,
        "dead_letters": expected.broken_bodies,
    }


def expected_summary(*, calls: int, seed: int) -> dict[str, int]:
    """The summary that the vendor's own knowledge demands."""
    return summary_of(plan_schedule(calls, seed=seed).expected)
