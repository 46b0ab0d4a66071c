"""Supervision, on real child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postcall.instance import is_alive
from postcall.service import open_listener
from postcall.supervisor import Child, ChildFailed, StateChange, Supervisor
from tests.waiting import eventually

SERVICE = """
import asyncio, os, sys
from postcall.service import run_service

async def main(lifeline):
    print(os.getpid(), file=open(sys.argv[1], "a"))
    lifeline.ready()
    await lifeline.stopping.wait()
    print("stopped in order", file=open(sys.argv[1], "a"))

run_service("child", main)
"""


def a_child(name: str, journal: Path, *, program: str = SERVICE) -> Child:
    return Child(name=name, command=(sys.executable, "-c", program, str(journal)), environment=dict(os.environ))


@asynccontextmanager
async def a_supervisor(changes: list[StateChange]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(on_change=changes.append)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def test_start_returns_once_the_child_is_ready(tmp_path: Path) -> None:
    changes: list[StateChange] = []
    async with a_supervisor(changes) as supervisor:
        await supervisor.start(a_child("one", tmp_path / "journal"))
        assert [change.state for change in changes] == ["starting", "ready"]
        assert changes[-1].pid == int((tmp_path / "journal").read_text())
    assert (tmp_path / "journal").read_text().endswith("stopped in order\n")


async def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    changes: list[StateChange] = []
    async with a_supervisor(changes) as supervisor:
        for name in ("log", "reader"):
            await supervisor.start(a_child(name, tmp_path / name))
    assert [change.name for change in changes if change.state == "stopped"] == ["reader", "log"]


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    changes: list[StateChange] = []
    async with a_supervisor(changes) as supervisor:
        await supervisor.start(a_child("one", tmp_path / "journal"))
        first = changes[-1].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: [change.state for change in changes].count("ready") == 2)
        assert changes[-1].pid != first
        assert [change.exit_code for change in changes if change.state == "exited"] == [-9]


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(os.EX_TEMPFAIL)"])
async def test_a_child_that_is_killed_or_fails_for_now_while_it_starts_is_started_again(
    tmp_path: Path, end: str
) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from postcall.service import run_service
async def main(lifeline):
    if not Path(sys.argv[1]).exists():
        Path(sys.argv[1]).touch()
        {end}
    lifeline.ready()
    await lifeline.stopping.wait()
run_service("child", main)
"""
    changes: list[StateChange] = []
    async with a_supervisor(changes) as supervisor:
        await supervisor.start(a_child("one", tmp_path / "began", program=program))
        assert [change.state for change in changes] == ["starting", "exited", "starting", "ready"]


async def test_a_paused_child_is_left_alone_and_goes_on(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from postcall.service import run_service
async def main(lifeline):
    lifeline.paused("The log is down.")
    lifeline.ready()
    lifeline.paused("The vendor\\nis down.")
    lifeline.paused("The vendor is still down.")
    while not Path(sys.argv[1]).exists():
        await asyncio.sleep(0.01)
    lifeline.paused(None)
    await lifeline.stopping.wait()
run_service("child", main)
"""
    changes: list[StateChange] = []
    async with a_supervisor(changes) as supervisor:
        await supervisor.start(a_child("one", tmp_path / "go", program=program))
        await eventually(lambda: len(changes) == 5)
        (tmp_path / "go").touch()
        await eventually(lambda: len(changes) == 6)
    assert [(change.state, change.reason) for change in changes[:6]] == [
        ("starting", None),
        ("ready", None),
        ("paused", "The log is down."),
        ("paused", "The vendor is down."),
        ("paused", "The vendor is still down."),
        ("ready", None),
    ]


async def test_a_held_child_counts_as_started_is_left_alone_and_becomes_ready(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from postcall.service import run_service
async def main(lifeline):
    lifeline.held("The log is READY\\nfor nothing.")
    while not Path(sys.argv[1]).exists():
        await asyncio.sleep(0.01)
    lifeline.ready()
    await lifeline.stopping.wait()
run_service("child", main)
"""
    changes: list[StateChange] = []
    async with a_supervisor(changes) as supervisor:
        await supervisor.start(a_child("one", tmp_path / "go", program=program))
        assert [(change.state, change.reason) for change in changes] == [
            ("starting", None),
            ("held", "The log is READY for nothing."),
        ]
        (tmp_path / "go").touch()
        await eventually(lambda: changes[-1].state == "ready")
        assert changes[-1].pid == changes[0].pid


async def test_a_child_that_cannot_start_ends_the_start_up(tmp_path: Path) -> None:
    async with a_supervisor([]) as supervisor:
        with pytest.raises(ChildFailed, match="exit code 2"):
            await supervisor.start(a_child("one", tmp_path / "journal", program="import sys; sys.exit(2)"))


async def test_a_child_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, sys
from postcall.supervisor import Child, Supervisor
async def main():
    child = Child(name="c", command=(sys.executable, "-c", {SERVICE!r}, sys.argv[1]), environment=dict(os.environ))
    await Supervisor().start(child)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    journal = tmp_path / "journal"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(journal), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert parent.stdout is not None
    await parent.stdout.readline()
    child_pid = int(journal.read_text())
    parent.kill()
    await parent.wait()
    await eventually(lambda: not is_alive(child_pid))
    assert journal.read_text().endswith("stopped in order\n")


async def test_a_listener_survives_its_child() -> None:
    program = """
import asyncio, sys
from postcall.service import open_listener, run_service
async def main(lifeline):
    listener = open_listener("", 0, inherited_fd=int(sys.argv[-1]))
    async def serve(reader, writer):
        writer.write(b"hello")
        writer.close()
    async with await asyncio.start_server(serve, sock=listener):
        lifeline.ready()
        await lifeline.stopping.wait()
run_service("child", main)
"""
    with open_listener("127.0.0.1", 0) as listener:
        child = Child(
            name="door", command=(sys.executable, "-c", program), environment=dict(os.environ), listener=listener
        )
        changes: list[StateChange] = []
        async with a_supervisor(changes) as supervisor:
            await supervisor.start(child)
            pid = changes[-1].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            # The connection is accepted by the kernel while the child is down, and answered by the next one.
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
