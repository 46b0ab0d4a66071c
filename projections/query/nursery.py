"""The process that children are forked from: it has imported what they need, and does nothing else.

A fork takes a few milliseconds where a new interpreter with its imports takes two hundred. The nursery opens no
database, has no secrets in its environment, and ends when the service does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from importlib import import_module
from typing import NoReturn

from projections.query.child import serve_query

#: What DuckDB imports at the first time value or the first Arrow table.
_FOR_THE_CHILDREN = ("pytz", "pyarrow.dataset")


def main() -> None:
    """Fork a child for each socket that comes over the control socket, until that is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in _FOR_THE_CHILDREN:
        import_module(name)
    # Children that ended leave no zombies, and nobody asks for their exit codes.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        connection = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            control.close()
            _be_child(connection)
        connection.close()
        control.sendall(pid.to_bytes(8, "big"))


def _be_child(connection: socket.socket) -> NoReturn:
    try:
        serve_query(connection)
    finally:
        # Without the interpreter's own ending: what a query left behind need not be put in order.
        os._exit(0)
