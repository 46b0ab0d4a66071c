"""The log for commands that need it for a while: also the embedded one of a directory on which no pipeline runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postcall.errors import UsageError
from postcall.instance import find_instance, find_log, hold_directory
from postcall.log_connection import LogConnection
from postcall.pipeline import start_broker
from postcall.settings import Configuration, Settings
from postcall.supervisor import Supervisor


@asynccontextmanager
async def reached_log(configuration: Configuration) -> AsyncIterator[LogConnection]:
    """Apache Kafka if one is set, else the running pipeline's log, else the embedded one, started for the block.

    :raises UsageError: there is no log, its port is taken, or something else holds the data directory.
    :raises ChildFailed: it could not start; it has said why on its stderr.
    """
    settings = configuration.read(Settings)
    if settings.kafka or find_instance(settings.data_dir):
        yield find_log(settings)
        return
    if not (settings.data_dir / "log").exists():
        raise UsageError(f"There is no log in {settings.data_dir}. `postcall up` starts one.")
    with hold_directory(settings.data_dir):
        async with started_log(configuration) as log:
            yield log


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
