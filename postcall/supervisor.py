"""The parent's side of running services: start children in order, keep them running, stop them in reverse.

A child has a process group of its own, so Ctrl-C reaches only the parent, which then stops all in order; the
lifeline (see `postcall.service`) tells readiness, silence and death both ways. A child that ends after it was once
ready, that is killed, or that says it failed for now, is started again with growing pauses; any other that ends before
it is ready stops the start-up. A child that is *held* lives and waits for a person, one that is *paused* for something
that it needs: both count as started, and are left alone.
What children write to stdout goes to stderr: stdout is for data.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Literal

from postcall.errors import PostcallError
from postcall.service import LIFELINE_FD, STOP_LIMIT_S

logger = logging.getLogger(__name__)

#: A child that has not been heard of for this long is killed and started again.
SILENCE_LIMIT_S = 15.0
#: How long a child may take to become ready for the first time.
START_LIMIT_S = 60.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0

State = Literal["starting", "ready", "paused", "held", "silent", "exited", "stopped"]


class ChildFailed(PostcallError):
    """A service ended before it was ready."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Child:
    """A service to keep running.

    `listener` is handed down as `--listen-fd`, so a restart refuses no connection; the supervisor closes it in the end.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    listener: socket.socket | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChange:
    """What the supervisor tells whoever listens, and logs. `reason` says why a child is held or paused."""

    name: str
    state: State
    pid: int | None = None
    exit_code: int | None = None
    reason: str | None = None


def postcall_command(*arguments: str) -> tuple[str, ...]:
    """The command line of `postcall …` under this very interpreter."""
    return (sys.executable, "-m", "postcall", *arguments)


class Supervisor:
    """Starts, watches and stops children.

    :param output: where the children's stdout and stderr go; None = this process's stderr.
    """

    def __init__(
        self,
        *,
        on_change: Callable[[StateChange], None] | None = None,
        output: IO[Any] | None = None,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        self._on_change = on_change
        self._output = output if output is not None else sys.stderr
        self._silence_limit_s = silence_limit_s
        self._keepers: list[_Keeper] = []

    async def start(self, child: Child) -> None:
        """Start a child and return once it is ready, or held.

        :raises ChildFailed: it ended first, or was not ready in time.
        """
        keeper = _Keeper(child, announce=self._announce, output=self._output, silence_limit_s=self._silence_limit_s)
        self._keepers.append(keeper)
        await keeper.start()

    async def stop(self) -> None:
        """Stop all children, the last started first."""
        while self._keepers:
            await self._keepers.pop().stop()

    def _announce(self, change: StateChange) -> None:
        level = logging.WARNING if change.state in {"paused", "held", "silent", "exited"} else logging.INFO
        facts = {"action": f"child_{change.state}", "child": change.name, "child_pid": change.pid}
        if change.exit_code is not None:
            facts["exit_code"] = change.exit_code
        if change.reason is not None:
            facts["reason"] = change.reason
        logger.log(level, "Child %s is %s", change.name, change.state, extra=facts)
        if self._on_change is not None:
            self._on_change(change)


class _Keeper:
    """One child through all its processes."""

    def __init__(
        self, child: Child, *, announce: Callable[[StateChange], None], output: IO[Any], silence_limit_s: float
    ) -> None:
        self.child = child
        self._silence_limit_s = silence_limit_s
        self._announce = announce
        self._output = output
        self._process: asyncio.subprocess.Process | None = None
        self._first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep_running())
        try:
            await asyncio.wait_for(asyncio.shield(self._first_ready), START_LIMIT_S)
        except TimeoutError:
            raise ChildFailed(f"{self.child.name} was not ready within {START_LIMIT_S:.0f} s.") from None

    async def stop(self) -> None:
        self._is_stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            await _end_process(process)
        if self.child.listener is not None:
            self.child.listener.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._first_ready.done() and not self._first_ready.cancelled():
            self._first_ready.exception()  # seen by `start`, or of no interest any more
        self._announce(StateChange(name=self.child.name, state="stopped"))

    async def _keep_running(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            started_at = time.monotonic()
            exit_code = await self._run_once()
            if self._is_stopping:
                return
            # What is killed while it starts, or failed for now, may do better the next time.
            if not self._first_ready.done() and exit_code >= 0 and exit_code != os.EX_TEMPFAIL:
                reason = (
                    f"{self.child.name} ended with exit code {exit_code} before it was ready; its reason stands above."
                )
                self._first_ready.set_exception(ChildFailed(reason))
                return
            if time.monotonic() - started_at > self._silence_limit_s:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            process = self._process = await self._spawn(theirs)
            theirs.close()
            self._announce(StateChange(name=self.child.name, state="starting", pid=process.pid))
            listening = asyncio.create_task(self._listen(ours, process))
            exit_code = await process.wait()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        if not self._is_stopping:
            self._announce(StateChange(name=self.child.name, state="exited", pid=process.pid, exit_code=exit_code))
        return exit_code

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        command = list(self.child.command)
        handed_down = [theirs.fileno()]
        if self.child.listener is not None:
            handed_down.append(self.child.listener.fileno())
            command += ["--listen-fd", str(self.child.listener.fileno())]
        return await asyncio.create_subprocess_exec(
            *command,
            env={**self.child.environment, LIFELINE_FD: str(theirs.fileno())},
            pass_fds=handed_down,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    async def _listen(self, ours: socket.socket, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        # Until its first word it may be loading its code, on a busy machine.
        patience_s = max(START_LIMIT_S, self._silence_limit_s)
        while True:
            heard: bytes | None
            try:
                heard = await asyncio.wait_for(loop.sock_recv(ours, 4096), patience_s)
            except TimeoutError:
                # This process may itself have been stopped meanwhile: what was said then lies in the socket.
                heard = _receive_at_once(ours)
            if heard is None:
                if self._first_ready.done():
                    self._announce(StateChange(name=self.child.name, state="silent", pid=process.pid))
                    process.kill()
                    return
                continue
            if not heard:
                return
            patience_s = self._silence_limit_s
            *words, rest = (rest + heard).split(b"\n")
            for word in words:
                self._note(word.decode("utf-8", "replace"), process)

    def _note(self, word: str, process: asyncio.subprocess.Process) -> None:
        """A word of the lifeline."""
        kind, _, reason = word.partition(" ")
        if kind == "READY":
            self._announce(StateChange(name=self.child.name, state="ready", pid=process.pid))
        elif kind == "HELD":
            self._announce(StateChange(name=self.child.name, state="held", pid=process.pid, reason=reason))
        elif kind == "PAUSED":
            self._announce(StateChange(name=self.child.name, state="paused", pid=process.pid, reason=reason))
        else:
            return
        if not self._first_ready.done():
            self._first_ready.set_result(None)


def _receive_at_once(connection: socket.socket) -> bytes | None:
    try:
        return connection.recv(4096)
    except BlockingIOError:
        return None


async def _end_process(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
    except TimeoutError:
        logger.warning(
            "Child did not stop in time, killing it", extra={"action": "child_killed", "child_pid": process.pid}
        )
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
