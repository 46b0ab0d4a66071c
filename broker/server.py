"""The embedded log as a server: opens the data directory, accepts clients, and closes in order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from broker.apis import (
    api_versions,
    create_topics,
    delete_topics,
    describe_cluster,
    describe_configs,
    describe_groups,
    fetch,
    find_coordinator,
    heartbeat,
    init_producer_id,
    join_group,
    leave_group,
    list_groups,
    list_offsets,
    metadata,
    offset_commit,
    offset_fetch,
    produce,
    sync_group,
)
from broker.connection import Connection
from broker.data_directory import lock_directory, make_directory
from broker.groups import GroupCoordinator
from broker.log import Log
from broker.registry import Registry
from postcall.service import address_of

logger = logging.getLogger(__name__)

_READ_BUFFER_BYTES = 256 * 1024

_APIS = (
    produce.API,
    fetch.API,
    list_offsets.API,
    metadata.API,
    offset_commit.API,
    offset_fetch.API,
    find_coordinator.API,
    join_group.API,
    heartbeat.API,
    leave_group.API,
    sync_group.API,
    describe_groups.API,
    list_groups.API,
    api_versions.API,
    create_topics.API,
    delete_topics.API,
    init_producer_id.API,
    describe_configs.API,
    describe_cluster.API,
)


def make_registry() -> Registry:
    """All requests that this broker answers."""
    return Registry(_APIS)


async def serve(
    *, data_dir: Path, listener: socket.socket, on_ready: Callable[[], None], stopping: asyncio.Event
) -> None:
    """Serve the log in `data_dir` on a listening socket until `stopping` is set; the socket is closed then.

    :raises DataDirInUse: another process serves this directory.
    :raises StorageFailed: the directory or the database cannot be opened.
    """
    directory = data_dir / "log"
    make_directory(directory)
    with lock_directory(directory):
        log = Log(directory / "log.sqlite3")
        try:
            async with _accept(log, listener):
                logger.info("The log is open at %s", address_of(listener), extra={"action": "opened"})
                on_ready()
                await stopping.wait()
        finally:
            await log.close()
    logger.info("The log is closed", extra={"action": "closed"})


@contextlib.asynccontextmanager
async def _accept(log: Log, listener: socket.socket) -> AsyncIterator[None]:
    groups, registry = GroupCoordinator(), make_registry()
    numbers = itertools.count(1)
    serving: set[asyncio.Task[None]] = set()

    async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(
            number=next(numbers), reader=reader, writer=writer, log=log, groups=groups, registry=registry
        )
        await connection.serve()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve_client(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)
        # Whatever ends the task, even before it began. Not closed in order: that waits for a client that does not read.
        task.add_done_callback(lambda _: writer.transport.abort())

    server = await asyncio.start_server(start, sock=listener, limit=_READ_BUFFER_BYTES)
    try:
        yield
    finally:
        server.close()
        tasks = list(serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
