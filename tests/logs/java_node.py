"""A node of Apache Kafka as a Java process: paused, killed, and started again on the same port, full or empty."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.logs.errors import NoKafka
from tests.logs.jars import fetch_jars, kafka_version
from tests.logs.node import START_LIMIT_S, Node, free_ports, server_properties, until_listening

# Started quickly and thrown away soon: the optimizing compiler does not pay for itself.
_JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class JavaNode:
    """A node with a folder and ports of its own, which it keeps over restarts. Close it in the end.

    :param advertised_port: where it sends its clients, if not to its own port.
    :param properties: settings beside, or instead of, those that every node of tests has.
    :param format_options: more options for `kafka-storage format`.
    :param niceness: so that one which starts does not take the machine from what is tested.
    :raises NoKafka: it cannot be run here; says why in one line.
    """

    def __init__(
        self,
        folder: Path,
        *,
        advertised_port: int | None = None,
        properties: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
        niceness: int = 0,
    ) -> None:
        java = shutil.which("java")
        if java is None:
            raise NoKafka("java is not installed")
        port, controller_port = free_ports()
        self.name = f"Apache Kafka {kafka_version()} (java)"
        self.address = f"127.0.0.1:{port}"
        self._folder = folder
        self._run = ("nice", "-n", str(niceness), java, *_JAVA_OPTIONS, "-cp", f"{fetch_jars()}/*")
        self._settings = folder / "server.properties"
        self._format_options = format_options
        self._process: subprocess.Popen[bytes] | None = None
        chosen = server_properties(
            listen="127.0.0.1",
            port=port,
            controller_port=controller_port,
            advertised_port=advertised_port or port,
        )
        lines = [
            f"{name}={value}" for name, value in {**chosen, "log.dirs": str(self._data), **(properties or {})}.items()
        ]
        self._settings.write_text("\n".join(lines))

    @property
    def node(self) -> Node:
        """What there is to know of any node."""
        return Node(name=self.name, address=self.address, is_running=self.is_running)

    @property
    def log_file(self) -> Path:
        """What the node says."""
        return self._folder / "kafka.log"

    def start(self) -> None:
        """Start it, with what it had when it last ran; returns when it takes connections.

        :raises NoKafka: it does not start.
        """
        if not self._data.exists():
            self._format()
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                (*self._run, "kafka.Kafka", str(self._settings)), stdout=output, stderr=output, cwd=self._folder
            )
        until_listening(self.node)

    def is_running(self) -> bool:
        """Whether its process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Stop its process as SIGSTOP does: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def empty(self) -> None:
        """Throw away what a node that does not run has: once started it is another cluster, on the same port."""
        assert not self.is_running()
        shutil.rmtree(self._data)

    def close(self) -> None:
        """End it, and delete its data."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "kafka-data"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With `=`, since one in 64 ids begins with a dash.
        arguments = ("format", f"--cluster-id={cluster_id}", "-c", str(self._settings), *self._format_options)
        formatted = subprocess.run(
            (*self._run, "kafka.tools.StorageTool", *arguments),
            capture_output=True, text=True, timeout=START_LIMIT_S, check=False, cwd=self._folder,
        )  # fmt: skip
        if formatted.returncode != 0:
            said = (formatted.stderr or formatted.stdout).strip().splitlines() or ["no reason given"]
            raise NoKafka(f"Apache Kafka could not be started with java: {said[0][:300]}")
