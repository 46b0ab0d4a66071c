"""The whole pipeline as child processes of this one: the log (if it is ours), ingest, streams, projections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

from postcall.instance import Instance, hold_directory, write_instance
from postcall.log_connection import LogConnection
from postcall.service import address_of, open_listener
from postcall.settings import Configuration, Service, Settings, all_settings
from postcall.supervisor import Child, StateChange, Supervisor, postcall_command
from postcall.topic_creation import create_topics

#: Names the running pipeline to the projections service, so that clients can tell it from an older one.
INSTANCE_ID = "POSTCALL_INSTANCE"


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A running pipeline: where it is, and who keeps its processes."""

    instance: Instance
    log: LogConnection
    supervisor: Supervisor


@asynccontextmanager
async def run_pipeline(
    configuration: Configuration,
    *,
    on_change: Callable[[StateChange], None] | None = None,
    output: IO[Any] | None = None,
) -> AsyncIterator[Pipeline]:
    """Run everything until the block ends, then stop it in reverse order.

    :raises UsageError: the data directory is in use, or a port is taken.
    :raises ChildFailed: a service could not start; it has said why on its stderr.
    """
    settings = configuration.read(Settings)
    with (
        hold_directory(settings.data_dir),
        open_listener(settings.host, settings.port) as public,
        open_listener(settings.private_host, settings.private_port) as private,
    ):
        supervisor = Supervisor(on_change=on_change, output=output)
        try:
            log = settings.log if settings.kafka else await start_broker(supervisor, configuration)
            # In what they differ, ingest tells.
            await create_topics(log, settings.topics)
            instance = Instance(
                ingest=f"http://{address_of(public)}", private=f"http://{address_of(private)}", log=str(log)
            )
            # An Apache Kafka is a setting like others; the embedded log's port may be any free one.
            embedded = {} if settings.kafka else {"POSTCALL_BROKER_PORT": log.bootstrap_servers.rpartition(":")[2]}
            handed_down = {INSTANCE_ID: instance.instance} | embedded
            listeners: dict[Service, socket.socket | None] = {"projections": private, "streams": None, "ingest": public}
            # Side by side, since each takes a second or two; they are stopped in the reverse of this order.
            await asyncio.gather(
                *(
                    supervisor.start(_child(configuration, service, listener=listener, **handed_down))
                    for service, listener in listeners.items()
                )
            )
            write_instance(settings.data_dir, instance)
            yield Pipeline(instance=instance, log=log, supervisor=supervisor)
        finally:
            await supervisor.stop()


async def start_broker(supervisor: Supervisor, configuration: Configuration) -> LogConnection:
    """Start the embedded log; returns how it is reached.

    :raises UsageError: its port is taken.
    :raises ChildFailed: it could not start; it has said why on its stderr.
    """
    listener = open_listener("127.0.0.1", configuration.read(Settings).broker_port)
    address = address_of(listener)
    await supervisor.start(_child(configuration, "broker", listener=listener))
    return LogConnection(address)


def _child(configuration: Configuration, service: Service, *, listener: socket.socket | None, **more: str) -> Child:
    return Child(
        name=service,
        command=postcall_command(service),
        environment=configuration.environment_for(service, all_settings()) | more,
        listener=listener,
    )
