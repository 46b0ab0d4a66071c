"""The embedded log of a data directory on which no pipeline runs, for commands that need it for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postcall.log_connection import LogConnection
from postcall.pipeline import start_broker
from postcall.settings import Configuration
from postcall.supervisor import Supervisor


@asynccontextmanager
async def started_log(configuration: Configuration) -> AsyncIterator[LogConnection]:
    """The embedded log, in a process that ends with the block. The caller holds the data directory.

    :raises UsageError: its port is taken.
    :raises ChildFailed: it could not start; it has said why on its stderr.
    """
    supervisor = Supervisor()
    try:
        yield await start_broker(supervisor, configuration)
    finally:
        await supervisor.stop()
