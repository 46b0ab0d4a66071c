"""The compose file's Kafka as a Java process: its settings are read from its environment by what the image runs."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.compose.compose_file import Service
from tests.compose.relocation import Relocation
from tests.logs.errors import NoKafka
from tests.logs.jars import fetch_jars, kafka_version
from tests.logs.node import START_LIMIT_S

#: The image's own, where nobody sets another.
_CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
#: Less than the compose file's heap, and quicker to start: a test is short and its machine is shared.
_JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


@dataclass(frozen=True, kw_only=True)
class KafkaNode:
    """A running node."""

    name: str
    address: str
    properties: Mapping[str, str]
    java: tuple[str, ...]

    def run_tool(self, java_class: str, *arguments: str, limit_s: float = 60) -> int:
        """Run one of Kafka's tools to its end; returns its exit code.

        :raises TimeoutExpired: it takes longer; it is killed.
        """
        command = (*self.java, java_class, *arguments)
        return subprocess.run(command, capture_output=True, timeout=limit_s, check=False).returncode


@contextlib.contextmanager
def running_kafka(service: Service, relocation: Relocation, folder: Path) -> Iterator[KafkaNode]:
    """Run the service; it is killed on leaving the context.

    :raises NoKafka: Java or the jars are missing, or it does not start.
    """
    java = (find_java(), *_JAVA_OPTIONS, _QUIET, "-cp", f"{fetch_jars()}/*")
    properties = set_up(service, relocation, folder, java)
    with (folder / "kafka.log").open("wb") as output:
        process = subprocess.Popen(
            (*java, "kafka.Kafka", str(folder / "final" / "server.properties")),
            stdout=output, stderr=output, cwd=folder,
        )  # fmt: skip
    address = properties["advertised.listeners"].rpartition("//")[2]
    try:
        _wait_until_listening(address, process, folder)
        yield KafkaNode(
            name=f"Apache Kafka {kafka_version()} (java)", address=address, properties=properties, java=java
        )
    finally:
        process.kill()
        process.wait()


def set_up(service: Service, relocation: Relocation, folder: Path, java: tuple[str, ...]) -> dict[str, str]:
    """Let the image's own start-up step turn the environment into properties, and format the storage."""
    for name in ("default", "mounted", "final"):
        (folder / name).mkdir()
    environment = relocation.environment(service.environment) | {"CLUSTER_ID": _CLUSTER_ID}
    command = ("kafka.docker.KafkaDockerWrapper", "setup", "--default-configs-dir", "default",
               "--mounted-configs-dir", "mounted", "--final-configs-dir", "final")  # fmt: skip
    ran = subprocess.run(
        (*java, *command), env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = (folder / "final" / "server.properties").read_text().split()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def find_java() -> str:
    """The path of Java.

    :raises NoKafka: it is not installed.
    """
    java = shutil.which("java")
    if java is None:
        raise NoKafka("the compose file's Kafka is run as a Java process, and java is not installed")
    return java


def _wait_until_listening(address: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        assert process.poll() is None, (folder / "kafka.log").read_text()[-2000:]
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        assert time.monotonic() < deadline, f"Kafka did not open {address} within {START_LIMIT_S} s"
        time.sleep(0.05)
