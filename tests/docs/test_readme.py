"""The commands of the README and of the pages on own tables and dead letters, run on a demo, print what is shown."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from postcall.supervisor import postcall_command
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PROJECTIONS = (ROOT / "docs" / "projections.md").read_text("utf-8")
DEAD_LETTERS = (ROOT / "docs" / "dead-letters.md").read_text("utf-8")
#: What may differ from run to run: how long it took, and how often a stage had to defer.
TIMING = re.compile(r"^\d+ records read again in [\d.]+ s")


def shown_on(page: str) -> list[tuple[str, list[str]]]:
    """Each `$ command` with the lines shown under it."""
    blocks = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [(block.splitlines()[0].removeprefix("$ "), block.splitlines()[1:]) for block in blocks]


def with_own_folder(data_dir: Path) -> dict[str, str]:
    """An environment in which the folder of own tables lies beside the data."""
    return os.environ | {"COLUMNS": "200", "POSTCALL_PROJECTIONS_DIR": str(data_dir.with_name("sql"))}


@asynccontextmanager
async def running_demo(data_dir: Path) -> AsyncIterator[None]:
    """`postcall demo` that has reported and goes on running."""
    process = await asyncio.create_subprocess_exec(
        *postcall_command("demo", "--data-dir", str(data_dir)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=with_own_folder(data_dir),
    )
    assert process.stdout is not None
    try:
        while b"Ctrl-C" not in (line := await process.stdout.readline()):
            assert line, "the demo ended before its report"
        yield
    finally:
        process.terminate()
        await process.wait()


async def read_until_shown(command: str, shown: list[str], data_dir: Path) -> None:
    """Run a command of a page until it has printed every line that the page shows."""
    folder = str(data_dir.with_name("sql"))
    words = [str(data_dir) if word == ".postcall/demo" else word for word in shlex.split(command)]
    programs = {"postcall": postcall_command(), "python": (sys.executable,)}
    process = await asyncio.create_subprocess_exec(
        *programs[words[0]], *words[1:], cwd=ROOT, env=with_own_folder(data_dir), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    missing = [TIMING.sub("", line.rstrip()) for line in shown]
    try:
        while missing:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, f"{command} did not print {missing}"
            printed = TIMING.sub("", line.decode().rstrip().replace(folder, "sql"))
            missing = [each for each in missing if each != printed]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        # The rest of a consumer that goes on for ever.
        await process.stdout.read()


async def prints(command: str, shown: list[str], data_dir: Path) -> bool:
    """Whether a command prints every line that the page shows."""
    try:
        await read_until_shown(command, shown, data_dir)
    except AssertionError:
        return False
    return True


@pytest.mark.timeout(180)
async def test_commands_print_what_the_pages_show(tmp_path: Path) -> None:
    async with running_demo(tmp_path / "demo"):
        # The README's first: the other page changes what there is.
        for command, shown in [*shown_on(README), *shown_on(PROJECTIONS), *shown_on(DEAD_LETTERS)]:
            if command.startswith("postcall sql"):
                # A table that was just begun may not be there yet.
                await eventually(partial(prints, command, shown, tmp_path / "demo"))
            else:
                await read_until_shown(command, shown, tmp_path / "demo")


def test_the_readme_shows_three_uses_in_a_few_lines() -> None:
    uses = shown_on(README)
    assert len(uses) == 3
    assert all(len(shown) <= 5 for _, shown in uses)


def test_the_first_screen_has_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:15])
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("demo", "test"):
        assert f"make {target} " in first_screen
        assert f"\n{target}: " in makefile
