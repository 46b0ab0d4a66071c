"""The logs that benchmarks run on: an embedded one as a process of its own, or the Apache Kafka that the tests use.

`--log kafka` takes the Kafka that `POSTCALL_TEST_KAFKA` names, which must hold nothing, else starts one as the tests
do: a single node with a small heap and a quick compiler, so slower than one that was left to warm up.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from postcall.log_connection import LogConnection
from tests.logs.real_kafka import real_kafka

#: Gives the address of an empty log, which is the caller's alone while the block runs.
EmptyLog = Callable[[], AbstractContextManager[LogConnection]]


def add_log_option(parser: argparse.ArgumentParser) -> None:
    """Let people choose the log."""
    parser.add_argument("--log", choices=("embedded", "kafka"), default="embedded", help="which log to run on")


@contextlib.contextmanager
def open_logs(kind: str) -> Iterator[EmptyLog]:
    """The chosen log, for one run of a benchmark."""
    if kind == "embedded":
        yield _embedded_log
        return
    with tempfile.TemporaryDirectory() as folder, real_kafka(Path(folder)) as kafka:

        @contextlib.contextmanager
        def emptied() -> Iterator[LogConnection]:
            with kafka.emptied() as address:
                yield LogConnection(address)

        yield emptied


@contextlib.contextmanager
def _embedded_log() -> Iterator[LogConnection]:
    with tempfile.TemporaryDirectory() as data_dir, running_broker(Path(data_dir)) as log:
        yield log


@contextlib.contextmanager
def running_broker(data_dir: Path) -> Iterator[LogConnection]:
    """The embedded log of a data directory, as a process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        command = [sys.executable, "-m", "postcall", "broker", "--data-dir", str(data_dir), "--listen-fd", str(number)]
        process = subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield LogConnection(address)
    finally:
        process.terminate()
        process.wait()
