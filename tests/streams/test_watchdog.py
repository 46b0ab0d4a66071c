"""The watchdog, in processes of its own: it ends them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

HANGS = """
    import asyncio, logging
    from streams.watchdog import Watchdog

    logging.basicConfig(format="%(message)s %(frames)s")

    def brood():
        while True:
            pass

    async def main():
        watching = asyncio.create_task(Watchdog(limit_s=1.0).keep())
        await asyncio.sleep(0)
        brood()

    asyncio.run(main())
"""

WORKS = """
    import asyncio
    from streams.watchdog import Watchdog

    async def main():
        watching = asyncio.create_task(Watchdog(limit_s=2.0).keep())
        await asyncio.sleep(4)
        watching.cancel()

    asyncio.run(main())
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_loop_that_hangs_ends_the_process_and_says_where() -> None:
    ended = run(HANGS)
    assert ended.returncode == 70
    assert "Stage hangs" in ended.stderr
    assert "in brood" in ended.stderr


def test_a_loop_that_turns_goes_on() -> None:
    assert run(WORKS).returncode == 0
