"""Where the log of a data directory is: the running pipeline's, or the embedded one, started for the copy's time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postcall.embedded_log import started_log
from postcall.instance import find_instance, hold_directory
from postcall.log_connection import LogConnection
from postcall.log_copy.errors import CopyRefused
from postcall.settings import Configuration, Settings


@asynccontextmanager
async def open_source(configuration: Configuration, *, target: LogConnection) -> AsyncIterator[LogConnection]:
    """The log of the configured data directory.

    :raises CopyRefused: there is none.
    :raises UsageError: something else holds the directory.
    """
    data_dir = configuration.read(Settings).data_dir
    instance = find_instance(data_dir)
    if instance is not None:
        # Its log may be secured, and then it would not even tell us who it is.
        if instance.log == target.bootstrap_servers:
            raise CopyRefused(f"The pipeline on {data_dir} runs on {target} already.")
        yield LogConnection(instance.log)
        return
    if not (data_dir / "log").exists():
        raise CopyRefused(f"There is no log in {data_dir} to copy. Name its --data-dir, or its address with --from.")
    with hold_directory(data_dir):
        async with started_log(configuration) as log:
            yield log
