"""One node of Apache Kafka for tests: its settings, and its two ways to run (a container, a Java process)."""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.logs.errors import NoKafka
from tests.logs.jars import fetch_jars, kafka_version

_START_LIMIT_S = 90
_DOCKER_ANSWER_LIMIT_S = 3
# Started quickly and thrown away soon: the optimizing compiler does not pay for itself.
_JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A running node: where it is, and whether it still is."""

    address: str
    is_running: Callable[[], bool]


@contextlib.contextmanager
def running_node(folder: Path) -> Iterator[Node]:
    """Run a node: in Docker if an engine answers, else as a Java process. It is killed on leaving the context.

    :raises NoKafka: neither way works; says why in one line.
    """
    with _docker_node() if _docker_answers() else _java_node(folder) as node:
        yield node


def server_properties(*, listen: str, port: int, controller_port: int) -> dict[str, str]:
    """What differs from Kafka's defaults: one node of everything, topics made on request only, and no waiting."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{listen}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(("docker", "info"), capture_output=True, timeout=_DOCKER_ANSWER_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


@contextlib.contextmanager
def _docker_node() -> Iterator[Node]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow to import, and rarely needed

    port, controller_port = _free_ports()
    properties = server_properties(listen="0.0.0.0", port=port, controller_port=controller_port)  # noqa: S104 - inside
    container = DockerContainer(f"apache/kafka:{kafka_version()}")
    container.ports[str(port)] = ("127.0.0.1", port)  # with_bind_ports would open it on every interface
    for name, value in properties.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    with container:

        def is_running() -> bool:
            wrapped = container.get_wrapped_container()
            wrapped.reload()
            return bool(wrapped.status == "running")

        yield _until_listening(Node(address=f"127.0.0.1:{port}", is_running=is_running))


@contextlib.contextmanager
def _java_node(folder: Path) -> Iterator[Node]:
    java = shutil.which("java")
    if java is None:
        raise NoKafka("no Docker engine answers, and java is not installed")
    jars = fetch_jars()
    with tempfile.TemporaryDirectory(prefix="postcall-kafka-", ignore_cleanup_errors=True) as data_dir:
        port, controller_port = _free_ports()
        properties = server_properties(listen="127.0.0.1", port=port, controller_port=controller_port)
        settings = Path(data_dir) / "server.properties"
        lines = [f"{name}={value}" for name, value in {**properties, "log.dirs": f"{data_dir}/log"}.items()]
        settings.write_text("\n".join(lines))
        run = (java, *_JAVA_OPTIONS, "-cp", f"{jars}/*")
        _format(run, settings)
        with (folder / "kafka.log").open("wb") as output:
            process = subprocess.Popen((*run, "kafka.Kafka", str(settings)), stdout=output, stderr=output, cwd=data_dir)
        try:
            yield _until_listening(Node(address=f"127.0.0.1:{port}", is_running=lambda: process.poll() is None))
        finally:
            process.kill()  # its data is thrown away: nothing is worth an orderly stop
            process.wait()


def _format(run: tuple[str, ...], settings: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = (*run, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(settings))
    formatted = subprocess.run(
        command, capture_output=True, text=True, timeout=_START_LIMIT_S, check=False, cwd=settings.parent
    )
    if formatted.returncode != 0:
        said = (formatted.stderr or formatted.stdout).strip().splitlines() or ["no reason given"]
        raise NoKafka(f"Apache Kafka could not be started with java: {said[0][:300]}")


def _until_listening(node: Node) -> Node:
    host, _, port = node.address.rpartition(":")
    deadline = time.monotonic() + _START_LIMIT_S
    while node.is_running() and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return node
        time.sleep(0.05)
    raise NoKafka(f"Apache Kafka did not open {node.address} within {_START_LIMIT_S} s, or ended before")


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]
