"""A node of Apache Kafka in a container."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from tests.logs.jars import kafka_version
from tests.logs.node import Node, free_ports, server_properties, until_listening

_ANSWER_LIMIT_S = 3


def docker_answers() -> bool:
    """Whether there is a Docker engine to run containers."""
    if shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(("docker", "info"), capture_output=True, timeout=_ANSWER_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


@contextlib.contextmanager
def docker_node() -> Iterator[Node]:
    """A node that runs; its container is removed on leaving the context.

    :raises NoKafka: it does not start.
    """
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow to import, and rarely needed

    port, controller_port = free_ports()
    properties = server_properties(
        listen="0.0.0.0",  # noqa: S104 - inside
        port=port,
        controller_port=controller_port,
        advertised_port=port,
    )
    container = DockerContainer(f"apache/kafka:{kafka_version()}")
    container.ports[str(port)] = ("127.0.0.1", port)  # with_bind_ports would open it on every interface
    for name, value in properties.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    with container:

        def is_running() -> bool:
            wrapped = container.get_wrapped_container()
            wrapped.reload()
            return bool(wrapped.status == "running")

        name = f"Apache Kafka {kafka_version()} (docker)"
        yield until_listening(Node(name=name, address=f"127.0.0.1:{port}", is_running=is_running))
