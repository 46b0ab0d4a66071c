"""What every long-running process of postcall does the same way: listen, say that it is ready, beat, stop in order.

A parent hands its child one end of a socket pair, the *lifeline* (`POSTCALL_LIFELINE_FD`). The child writes `READY`
once it serves, `HELD` and a reason when it may not go on until a person has decided something, `PAUSED` and a reason
while something that it needs fails, `READY` again when it goes on, and `BEAT` every few seconds; end of file on either
side means that the other process is gone. So a child ends with its parent even after `kill -9`, and a silent child is
noticed. Without a parent the lifeline is inert.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping

from postcall.errors import PostcallError, UsageError
from postcall.logs import configure_logs

logger = logging.getLogger(__name__)

LIFELINE_FD = "POSTCALL_LIFELINE_FD"
BEAT_INTERVAL_S = 3.0
#: How long a service may take to stop before its supervisor kills it.
STOP_LIMIT_S = 10.0


class Lifeline:
    """The child's end: tell the parent, and learn when to stop.

    `stopping` is set by SIGTERM, SIGINT or the parent's death; a service returns from its main soon after.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        self.stopping = asyncio.Event()
        self._connection = connection
        self._is_ready = False
        self._pause: str | None = None

    def ready(self) -> None:
        """Tell the parent that this process serves; call it when it is true, and again after having been held."""
        if not self._is_ready:
            self._is_ready = True
            self._send(b"READY\n")
            self._tell_pause()

    def held(self, reason: str) -> None:
        """Tell the parent that this process lives, and stands still until a person has decided something."""
        self._is_ready = False
        self._send(f"HELD {' '.join(reason.split())}\n".encode())

    def paused(self, reason: str | None) -> None:
        """Tell the parent, once this process serves, that it waits for something that fails; None = it goes on."""
        was_paused, self._pause = self._pause is not None, reason
        if not self._is_ready:
            return
        if reason is None and was_paused:
            self._send(b"READY\n")
        self._tell_pause()

    def _tell_pause(self) -> None:
        if self._pause is not None:
            self._send(f"PAUSED {' '.join(self._pause.split())}\n".encode())

    async def keep(self) -> None:
        """Beat, and watch for the parent's end, until cancelled."""
        if self._connection is None:
            return
        loop = asyncio.get_running_loop()
        watch = asyncio.create_task(loop.sock_recv(self._connection, 1))
        try:
            while not watch.done():
                self._send(b"BEAT\n")
                await asyncio.wait([watch], timeout=BEAT_INTERVAL_S)
            logger.warning("Parent process is gone, stopping", extra={"action": "parent_lost"})
            self.stopping.set()
        finally:
            watch.cancel()

    def _send(self, line: bytes) -> None:
        if self._connection is not None:
            # A full buffer or a dead parent: the next beat tells, and `keep` notices the death.
            with contextlib.suppress(OSError):
                self._connection.send(line)


def run_service(
    name: str, main: Callable[[Lifeline], Awaitable[None]], *, environment: Mapping[str, str] | None = None
) -> None:
    """Run a service's `main` on uvloop until it returns; signals and the parent's death set `lifeline.stopping`.

    :raises PostcallError: as `main` raised it, for the cli to print.
    """
    import uvloop  # noqa: PLC0415 - only processes that serve pay for the import

    values = os.environ if environment is None else environment
    configure_logs(name, values)
    connection = _inherited_lifeline(values)

    async def supervised() -> None:
        lifeline = Lifeline(connection)
        with _stopped_by_signals(lifeline.stopping):
            keeper = asyncio.create_task(lifeline.keep())
            try:
                await main(lifeline)
            finally:
                keeper.cancel()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(supervised())
    finally:
        if connection is not None:
            connection.close()


def is_supervised() -> bool:
    """Whether a supervisor started this process."""
    return LIFELINE_FD in os.environ


def open_listener(host: str, port: int, *, inherited_fd: int | None = None) -> socket.socket:
    """A listening TCP socket: the parent's (so that a restart loses no connection), or a new one; port 0 = any free.

    :raises UsageError: the address is taken or not ours.
    """
    if inherited_fd is not None:
        return socket.socket(fileno=inherited_fd)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OverflowError:
        raise UsageError(f"Cannot listen on {host}:{port}: a port is a number from 0 to 65535.") from None
    except OSError as error:
        advice = "another process has it; choose another port, or 0 for a free one"
        reason = advice if error.errno == errno.EADDRINUSE else error.strerror
        raise UsageError(f"Cannot listen on {host}:{port}: {reason}.") from error
    # asyncio sets this only on sockets that name their protocol, which these do not; accepted ones inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """`host:port` as a client on this machine writes it."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - read, not bound
    return f"{reachable}:{port}"


def _inherited_lifeline(environment: Mapping[str, str]) -> socket.socket | None:
    number = environment.get(LIFELINE_FD)
    if number is None:
        return None
    try:
        connection = socket.socket(fileno=int(number))
    except (OSError, ValueError) as error:
        raise PostcallError(f"{LIFELINE_FD}={number} is not a socket handed down by a parent.") from error
    connection.setblocking(False)
    return connection


@contextlib.contextmanager
def _stopped_by_signals(stopping: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
