"""A process dies where it was told to, once for each fuse, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postcall.crash_points import CRASH_POINTS, FAIL_AT

PROGRAM = """
from postcall.crash_points import CRASH_POINTS, reach
for point in CRASH_POINTS:
    reach(point, who="insights")
    print(point, flush=True)
"""
FIRST, SECOND = CRASH_POINTS[:2]


def run(fail_at: str | None) -> tuple[int, list[str]]:
    """How a process ends that comes by all points, and by which it got."""
    environment = {name: value for name, value in os.environ.items() if name != FAIL_AT}
    if fail_at is not None:
        environment[FAIL_AT] = fail_at
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, env=environment
    )
    return ended.returncode, ended.stdout.split()


@pytest.mark.parametrize("fail_at", [None, "", f"recordings.{FIRST}", "nowhere"])
def test_who_was_not_told_to_die_goes_on(fail_at: str | None) -> None:
    assert run(fail_at) == (0, list(CRASH_POINTS))


@pytest.mark.parametrize("fail_at", [SECOND, f"insights.{SECOND}"])
def test_a_process_dies_at_the_point_that_is_named(fail_at: str) -> None:
    assert run(fail_at) == (-signal.SIGKILL, [FIRST])


def test_a_fuse_is_good_for_one_death(tmp_path: Path) -> None:
    assert run(str(tmp_path)) == (0, list(CRASH_POINTS))
    (tmp_path / f"insights.{SECOND}").touch()
    assert run(str(tmp_path)) == (-signal.SIGKILL, [FIRST])
    assert run(str(tmp_path)) == (0, list(CRASH_POINTS))
