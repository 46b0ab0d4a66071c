"""The service's hold on one child process: its end of a socket pair, and a timer that ends it at the deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from io import BufferedRWPair

from projections.errors import QueryTimedOut, QueryTooBig
from projections.query.forking import Forker
from projections.settings import QuerySettings


class ChildHandle:
    """A child that serves one query. Ended from any thread; closed by whoever has it, in any case.

    :raises QueryError: no process can be started.
    """

    def __init__(self, forker: Forker, settings: QuerySettings) -> None:
        self._settings = settings
        self._is_late = False
        self._lock = threading.Lock()
        self._is_closed = False
        self.deadline = time.monotonic() + settings.sql_deadline_s
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._pid = forker.fork(theirs)
        except BaseException:
            ours.close()
            raise
        self._connection = ours
        self.file: BufferedRWPair = ours.makefile("rwb")
        self._timer = threading.Timer(max(0.0, self.deadline - time.monotonic()), self._end_late)
        self._timer.daemon = True
        self._timer.start()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the child's silent end into the reason for it.

        :raises QueryTimedOut: it was ended at the deadline.
        :raises QueryTooBig: it ended by itself.
        """
        try:
            yield
        except (EOFError, ConnectionError) as error:
            if self._is_late:
                raise QueryTimedOut(
                    f"The query was stopped at its deadline of {self._settings.sql_deadline_s:g} s."
                ) from error
            raise QueryTooBig(
                f"The query's process ended without an answer: most likely it needed more than its "
                f"{self._settings.sql_memory_mb} MB of memory."
            ) from error

    def end(self) -> None:
        """End the child, whatever it is doing; a thread that reads from it or writes to it is woken."""
        with self._lock:
            self._end()

    def close(self) -> None:
        """End the child, and let go of all that it took here."""
        self._timer.cancel()
        with self._lock:
            if self._is_closed:
                return
            self._end()
            self._is_closed = True
        # What was not written yet is written now, or rather is not: nobody reads it any more.
        with contextlib.suppress(OSError):
            self.file.close()
        self._connection.close()

    def _end_late(self) -> None:
        self._is_late = True
        self.end()

    def _end(self) -> None:
        # After its end, its number may become that of another process.
        if self._is_closed:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
