"""From a signed delivery to its SQL row, through every client of ours, on a log that asks who is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from postcall.settings import Configuration, all_settings
from postcall.supervisor import postcall_command
from tests.compose.deliver import ask, deliver, wait_for_row
from tests.security.certificates import KEY_PASSWORD
from tests.security.rights import Rights
from tests.security.secured_node import CERTIFICATE_USER, PASSWORDS, SecuredNode
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SECRET: Final = "whsec_secured"
PAGE: Final = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text("utf-8")
ON_TOPICS: Final = "--topic postcall. --resource-pattern-type prefixed"
ON_GROUPS: Final = "--group postcall. --resource-pattern-type prefixed"


def environment_of(node: SecuredNode, *, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
    """What a service is told in order to reach the log as this user."""
    protocol = "SSL" if user == CERTIFICATE_USER else "SASL_SSL"
    if user == CERTIFICATE_USER:
        who = {
            "CERTIFICATE_FILE": str(node.certificates.client_certificate),
            "KEY_FILE": str(node.certificates.client_key),
            "KEY_PASSWORD": KEY_PASSWORD,
        }
    else:
        who = {"SASL_MECHANISM": mechanism, "SASL_USERNAME": user, "SASL_PASSWORD": PASSWORDS[user]}
    named = {"SECURITY_PROTOCOL": protocol, "CA_FILE": str(node.certificates.authority), **who}
    return {"POSTCALL_KAFKA": node.addresses[protocol]} | {
        f"POSTCALL_KAFKA_{name}": each for name, each in named.items()
    }


class Run:
    """A command of postcall that goes on running; what it says is kept."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._said = folder / f"{arguments[0]}.log"
        with self._said.open("wb") as output:
            self._process = subprocess.Popen(
                postcall_command(*arguments),
                cwd=folder,
                env=os.environ | {"LAYERCODE_WEBHOOK_SECRET": SECRET, **environment},
                stdout=output,
                stderr=output,
            )

    @property
    def said(self) -> str:
        """Everything that it has said."""
        return self._said.read_text("utf-8")

    async def says(self, pattern: str) -> str:
        """The first group of a pattern, once it has said that."""

        def is_said() -> bool:
            assert self._process.poll() is None, self.said[-3000:]
            return re.search(pattern, self.said) is not None

        await eventually(is_said, timeout_s=60)
        found = re.search(pattern, self.said)
        assert found is not None
        return found[1]

    def stop(self) -> None:
        """Stop it in order."""
        self._process.terminate()
        self._process.wait(30)


@contextlib.asynccontextmanager
async def running(*arguments: str, environment: Mapping[str, str], folder: Path) -> AsyncIterator[Run]:
    run = Run(*arguments, environment=environment, folder=folder)
    try:
        yield run
    finally:
        await asyncio.to_thread(run.stop)


def call(*arguments: str, environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of postcall that ends."""
    return subprocess.run(
        postcall_command(*arguments),
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


async def row_of_a_delivery(url: str, session_id: str, data_dir: Path) -> dict[str, object]:
    await asyncio.to_thread(deliver, url, session_id, secret=SECRET)
    command = postcall_command("sql", "--data-dir", str(data_dir))
    return await asyncio.to_thread(wait_for_row, session_id, partial(ask, command), limit_s=60)


@pytest.mark.parametrize(
    ("user", "mechanism"), [("postcall", "SCRAM-SHA-512"), ("postcall", "PLAIN"), (CERTIFICATE_USER, "")]
)
async def test_a_delivery_becomes_a_row(
    user: str, mechanism: str, node: SecuredNode, rights: Rights, tmp_path: Path
) -> None:
    rights.give(
        f"--add --allow-principal User:{user} --operation Create --operation Read --operation Write"
        f" --operation DescribeConfigs {ON_TOPICS}"
    )
    rights.give(f"--add --allow-principal User:{user} --operation Read {ON_GROUPS}")
    environment = environment_of(node, user=user, mechanism=mechanism) | {"POSTCALL_LOG_LEVEL": "DEBUG"}
    made = call("topics", "--create", "--json", environment=environment, folder=tmp_path)
    assert {topic["state"] for topic in json.loads(made.stdout)} == {"made"}, made.stderr
    options = ("--data-dir", "data", "--host", "127.0.0.1", "--port", "0", "--private-port", "0")
    async with running("up", *options, environment=environment, folder=tmp_path) as up:
        url = await up.says(r"webhooks  (http://\S+)/webhooks/layercode")
        row = await row_of_a_delivery(url, "secured-1", tmp_path / "data")
        examined = call("doctor", "--data-dir", "data", "--json", environment=environment, folder=tmp_path)
    assert row["turn_count"] == 2
    findings = json.loads(examined.stdout)
    assert {"log", "topics", "durability", "groups"} <= {each["check"] for each in findings if each["state"] == "ok"}
    assert not [each for each in findings if each["state"] == "failed" and each["check"] != "secrets"]
    for secret in (SECRET, KEY_PASSWORD, *PASSWORDS.values()):
        assert secret not in up.said + examined.stdout + examined.stderr + made.stderr


def example_of_the_page() -> dict[str, str]:
    """The environment that the page shows for ingest."""
    block = re.search(r"^```sh\n(POSTCALL_KAFKA=.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    return dict(line.split("=", 1) for line in block[1].splitlines())


def rights_of_the_page() -> list[str]:
    """The options of each line that gives a right."""
    return re.findall(r"^acls (--add .*)$", PAGE, re.MULTILINE)


def test_the_page_names_settings_that_exist() -> None:
    known = {row.env for kind in all_settings() for row in Configuration().rows(kind)}
    assert set(example_of_the_page()) <= known
    assert set(re.findall(r"`(POSTCALL_[A-Z_]+)", PAGE)) <= known


async def test_the_services_run_with_the_rights_of_the_page(node: SecuredNode, rights: Rights, tmp_path: Path) -> None:
    for options in rights_of_the_page():
        rights.give(options)
    # One broker here, and another address and password than on the page.
    one_broker = {"POSTCALL_REPLICATION_FACTOR": "1"}
    users = {service: f"postcall-{service}" for service in ("ingest", "streams", "projections")}
    environments = {
        service: example_of_the_page() | environment_of(node, user=user) | one_broker for service, user in users.items()
    }
    admin = environment_of(node, user="admin") | one_broker
    assert call("topics", "--create", environment=admin, folder=tmp_path).returncode == 0
    data_dir = tmp_path / "data"
    arguments = {
        "ingest": ("--host", "127.0.0.1", "--port", "0"),
        "streams": (),
        "projections": ("--private-port", "0"),
    }
    async with contextlib.AsyncExitStack() as stack:
        runs = {
            service: await stack.enter_async_context(
                running(service, "--data-dir", str(data_dir), *more, environment=environments[service], folder=tmp_path)
            )
            for service, more in arguments.items()
        }
        address = await runs["ingest"].says(r"Door open.*address=(\S+)")
        row = await row_of_a_delivery(f"http://{address}", "secured-1", data_dir)
    assert row["turn_count"] == 2
    assert not re.findall(r"(?i)not authorized|authorization", "".join(run.said for run in runs.values()))


async def test_a_pipeline_with_a_wrong_password_says_so_and_ends(node: SecuredNode, tmp_path: Path) -> None:
    environment = environment_of(node, user="postcall") | {"POSTCALL_KAFKA_SASL_PASSWORD": "wr0ng"}
    environment |= {"LAYERCODE_WEBHOOK_SECRET": SECRET}
    ended = call(
        "up", "--data-dir", "data", "--port", "0", "--private-port", "0", environment=environment, folder=tmp_path
    )
    assert ended.returncode == 1
    (line,) = (line for line in ended.stderr.splitlines() if "postcall:" in line)
    assert "POSTCALL_KAFKA_SASL_PASSWORD" in line
    assert "Traceback" not in ended.stderr
    assert "wr0ng" not in ended.stderr


def test_the_rights_of_the_page_are_for_the_users_of_the_page() -> None:
    named = {shlex.split(options)[2] for options in rights_of_the_page()}
    assert f"User:{example_of_the_page()['POSTCALL_KAFKA_SASL_USERNAME']}" in named
