"""Each service's own command line, environment and healthcheck, as docker-compose.yml gives them, on its own Kafka.

Host names, ports and folders are replaced, nothing else; see `relocation`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from tests.compose.compose_file import example_values, read_services
from tests.compose.containers import Container, running
from tests.compose.deliver import AS_JSON, Rows, deliver, wait_for_row
from tests.compose.documents import sql_command_of_the_page
from tests.compose.kafka_node import KafkaNode, running_kafka
from tests.compose.relocation import Relocation, free_ports
from tests.logs.counting import note_log
from tests.logs.errors import NoKafka

SECRET = "whsec_compose"
SERVICES = read_services({**example_values(), "LAYERCODE_WEBHOOK_SECRET": SECRET})

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def relocation(tmp_path_factory: pytest.TempPathFactory) -> Relocation:
    """Free ports and new folders in place of the file's own."""
    kafka, controller, ingest, private, streams = free_ports(5)
    return Relocation(
        places={
            "0.0.0.0:9092": f"127.0.0.1:{kafka}",
            "kafka:9092": f"127.0.0.1:{kafka}",
            "localhost:9092": f"127.0.0.1:{kafka}",
            "localhost:9093": f"127.0.0.1:{controller}",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - replaced, not bound
            "8000": ingest,
            "8001": private,
            "8002": streams,
            "/var/lib/kafka/data": str(tmp_path_factory.mktemp("kafka-volume")),
            "/var/lib/postcall": str(tmp_path_factory.mktemp("data-volume")),
        }
    )


@pytest.fixture(scope="module")
def kafka(relocation: Relocation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """The service `kafka`."""
    with contextlib.ExitStack() as stack:
        try:
            node = stack.enter_context(running_kafka(SERVICES["kafka"], relocation, tmp_path_factory.mktemp("kafka")))
        except NoKafka as reason:
            _give_up(str(reason))
        yield node


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest, kafka: KafkaNode) -> None:
    note_log(request.node, kafka.name)


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("POSTCALL_TEST_REQUIRE_KAFKA"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def test_kafka_knows_and_takes_every_setting_of_its_environment(kafka: KafkaNode) -> None:
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka.address)) as admin:
        asked = [ConfigResource(ConfigResourceType.BROKER, kafka.properties["node.id"])]
        known = admin.describe_configs(asked, config_filter="all")["broker"][kafka.properties["node.id"]]
    assert {name: known.get(name, {}).get("value") for name in kafka.properties} == kafka.properties


def test_kafkas_healthcheck_succeeds_while_it_serves_and_only_then(kafka: KafkaNode, relocation: Relocation) -> None:
    kind, line = SERVICES["kafka"].healthcheck
    assert kind == "CMD-SHELL"
    words = shlex.split(line)
    assert words[0].startswith("KAFKA_HEAP_OPTS=")
    assert words[-2:] == [">", "/dev/null"]
    # What the script of this name in the image runs.
    assert words[1] == "/opt/kafka/bin/kafka-configs.sh"
    arguments = relocation.words(words[2:-2])
    assert kafka.run_tool("kafka.admin.ConfigCommand", *arguments) == 0
    (nobody,) = free_ports(1)
    elsewhere = [word.replace(kafka.address, f"127.0.0.1:{nobody}") for word in arguments]
    assert elsewhere != arguments
    with pytest.raises(subprocess.TimeoutExpired):
        kafka.run_tool("kafka.admin.ConfigCommand", *elsewhere, limit_s=5)


async def test_a_signed_delivery_becomes_a_row_and_all_stop_in_time(relocation: Relocation, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        # In the order of depends_on.
        containers: dict[str, Container] = {}
        for name in ("ingest", "streams", "projections"):
            containers[name] = await stack.enter_async_context(running(SERVICES[name], relocation, tmp_path))
        session_id = "session-of-the-compose-test"
        url = f"http://127.0.0.1:{relocation.places['8000']}"
        await asyncio.to_thread(deliver, url, session_id, secret=SECRET)
        asked, words = sql_command_of_the_page()

        def run_sql(statement: str) -> Rows:
            rows: Rows = json.loads(containers[asked].run([*words, *AS_JSON, statement]))
            return rows

        row = await asyncio.to_thread(wait_for_row, session_id, run_sql, limit_s=60)
        assert row["session_id"] == session_id
        exit_codes = await asyncio.gather(*(container.stop() for container in containers.values()))
        assert dict(zip(containers, exit_codes, strict=True)) == dict.fromkeys(containers, 0)
