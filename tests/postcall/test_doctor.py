"""What the doctor finds, and that it tells no secret."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from postcall.doctor.examination import examine
from postcall.doctor.findings import Finding
from postcall.kafka import append, open_admin, open_producer
from postcall.known_log.comparison import find_contradictions
from postcall.known_log.hold import Hold
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.settings import Configuration
from postcall.supervisor import postcall_command
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import WEBHOOKS
from tests.broker.admin import wait_for_leaders
from tests.postcall.test_known_log_comparison import a_log, remembered
from tests.streams.loopback import response, serving

SECRETS = {
    "LAYERCODE_WEBHOOK_SECRET": "whsec_swordfish",
    "LAYERCODE_API_KEY": "key-swordfish",
    "OPENAI_API_KEY": "sk-swordfish",
    "POSTCALL_PRIVATE_TOKEN": "token-swordfish",
}


async def examined(tmp_path: Path, **environment: str) -> list[Finding]:
    return await findings_of(tmp_path, environment, is_online=False)


async def examined_online(tmp_path: Path, **environment: str) -> list[Finding]:
    return await findings_of(tmp_path, environment, is_online=True)


async def findings_of(tmp_path: Path, environment: dict[str, str], *, is_online: bool) -> list[Finding]:
    values = {"POSTCALL_DATA_DIR": str(tmp_path / "data"), "LAYERCODE_API_URL": "http://localhost/v1", **environment}
    return [finding async for finding in examine(Configuration(environment=values), is_online=is_online)]


def states_of(findings: list[Finding], check: str) -> list[str]:
    return [finding.state for finding in findings if finding.check == check]


def said_by(findings: list[Finding], check: str) -> str:
    return "\n".join(str(finding) for finding in findings if finding.check == check)


async def test_before_the_first_start_nothing_fails_and_the_log_is_not_missed(tmp_path: Path) -> None:
    findings = await examined(tmp_path, POSTCALL_BROKER_PORT="1", **SECRETS)
    assert not [finding for finding in findings if finding.state == "failed"]
    assert states_of(findings, "log") == ["skipped"]
    assert not (tmp_path / "data").exists()


async def test_a_held_reader_fails_with_the_command_that_tells_more(tmp_path: Path) -> None:
    hold = Hold("normalize-0", data_dir=tmp_path / "data", on_held=lambda _: None)
    assert not hold.passes(a_log((0, 3)), find_contradictions([remembered(5)], a_log((0, 3)), {}))
    findings = await examined(tmp_path, POSTCALL_BROKER_PORT="1", **SECRETS)
    assert states_of(findings, "readers") == ["failed"]
    assert "normalize-0 is held" in said_by(findings, "readers")
    assert f"postcall log accept --data-dir {tmp_path / 'data'}" in said_by(findings, "readers")


@pytest.mark.both_logs
async def test_a_log_with_its_topics_is_well(log_address: str, tmp_path: Path) -> None:
    await create_topics(LogConnection(log_address), TopicSettings())
    findings = await examined(tmp_path, POSTCALL_KAFKA=log_address, **SECRETS)
    for check in ("settings", "secrets", "data", "log", "topics", "durability", "groups"):
        assert set(states_of(findings, check)) == {"ok"}, said_by(findings, check)
    assert "on the one broker's disk" in said_by(findings, "durability")


async def test_the_embedded_log_writes_before_it_acknowledges(log_address: str, tmp_path: Path) -> None:
    await create_topics(LogConnection(log_address), TopicSettings())
    findings = await examined(tmp_path, POSTCALL_BROKER_PORT=log_address.rpartition(":")[2])
    assert "fsync" in said_by(findings, "durability")
    assert "loopback" in said_by(findings, "security")


@pytest.mark.both_logs
async def test_a_log_that_loses_what_was_acknowledged_fails(log_address: str, tmp_path: Path) -> None:
    flushing_never = {"flush.messages": "9223372036854775807"}
    async with open_admin(LogConnection(log_address)) as admin:
        await admin.create_topics([NewTopic(WEBHOOKS.name, 4, 1, topic_configs=flushing_never)])
    await wait_for_leaders(log_address, *(TopicPartition(WEBHOOKS.name, number) for number in range(4)))
    findings = await examined(tmp_path, POSTCALL_KAFKA=log_address)
    assert states_of(findings, "durability") == ["failed"]
    assert "flush.messages=1" in said_by(findings, "durability")


@pytest.mark.both_logs
async def test_topics_that_are_missing_or_differ_are_told(log_address: str, tmp_path: Path) -> None:
    findings = await examined(tmp_path, POSTCALL_KAFKA=log_address)
    assert "postcall topics --create" in said_by(findings, "topics")
    assert states_of(findings, "durability") == ["skipped"]
    await create_topics(LogConnection(log_address), TopicSettings(partitions=1))
    findings = await examined(tmp_path, POSTCALL_KAFKA=log_address, POSTCALL_RETENTION_DAYS="7")
    assert "partitions is 1, wanted 4" in said_by(findings, "topics")
    assert "retention.ms is -1, wanted 604800000" in said_by(findings, "topics")


@pytest.mark.both_logs
async def test_records_that_nobody_reads_are_told(log_address: str, tmp_path: Path) -> None:
    await create_topics(LogConnection(log_address), TopicSettings())
    async with open_producer(LogConnection(log_address)) as producer:
        await append(producer, [NewRecord(topic=WEBHOOKS.name, key=None, value=b"", headers=())] * 3)
    findings = await examined(tmp_path, POSTCALL_KAFKA=log_address)
    (finding,) = (finding for finding in findings if finding.check == "groups" and finding.state == "warning")
    assert str(finding).endswith(
        "postcall.normalize: 0 members, 3 records behind in postcall.webhooks. Does postcall streams run?"
    )


async def test_a_log_that_does_not_answer_fails_and_what_depends_on_it_is_left_out(tmp_path: Path) -> None:
    findings = await examined(tmp_path, POSTCALL_KAFKA="127.0.0.1:1")
    assert states_of(findings, "log") == ["failed"]
    assert states_of(findings, "topics") == states_of(findings, "groups") == ["skipped"]


async def test_a_setting_that_cannot_be_used_fails(tmp_path: Path) -> None:
    for environment in ({"POSTCALL_PARTITIONS": "many"}, {"POSTCALL_SQL_THREADS": "many"}):
        findings = await examined(tmp_path, POSTCALL_BROKER_PORT="1", **environment)
        assert states_of(findings, "settings") == ["failed"]
        assert next(iter(environment)) in said_by(findings, "settings")


async def test_settings_that_have_no_effect_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTCALL_PARTITION", "8")
    findings = await examined(
        tmp_path, POSTCALL_BROKER_PORT="1", POSTCALL_RETENTION_DAYS="7", POSTCALL_PRIVATE_HOST="192.0.2.1"
    )
    said = said_by(findings, "settings")
    assert "POSTCALL_PARTITION is set, but is no setting" in said
    assert "POSTCALL_RETENTION_DAYS is set, but only an Apache Kafka heeds it" in said
    assert "takes a POSTCALL_PRIVATE_TOKEN" in said


async def test_secrets_that_are_missing_are_named(tmp_path: Path) -> None:
    findings = await examined(tmp_path, POSTCALL_BROKER_PORT="1")
    assert "failed" in states_of(findings, "secrets")
    assert "LAYERCODE_WEBHOOK_SECRET is not set" in said_by(findings, "secrets")
    assert "LAYERCODE_API_KEY is not set" in said_by(findings, "secrets")


async def test_a_folder_that_cannot_be_written_to_fails(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    findings = await examined(tmp_path, POSTCALL_BROKER_PORT="1", POSTCALL_DATA_DIR=str(tmp_path / "data" / "below"))
    assert states_of(findings, "data") == ["failed"]


async def test_a_folder_that_others_may_look_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    findings = await examined(tmp_path, POSTCALL_BROKER_PORT="1")
    assert states_of(findings, "data") == ["ok", "warning"]


async def test_a_host_that_is_not_known_is_told(tmp_path: Path) -> None:
    findings = await examined(tmp_path, POSTCALL_BROKER_PORT="1", LAYERCODE_API_URL="https://api.invalid/v1")
    assert states_of(findings, "hosts") == ["warning"]
    assert "LAYERCODE_API_URL" in said_by(findings, "hosts")


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (401, "failed"), (503, "warning")])
async def test_keys_are_tried_only_online(tmp_path: Path, status: int, state: str) -> None:
    async with serving() as api:
        api.answer("/v1/agents", response(status))
        environment = {**SECRETS, "OPENAI_API_KEY": "", "LAYERCODE_API_URL": f"{api.origin}/v1"}
        await examined(tmp_path, POSTCALL_BROKER_PORT="1", **environment)
        assert api.connections == 0
        findings = await examined_online(tmp_path, POSTCALL_BROKER_PORT="1", **environment)
        assert states_of(findings, "hosts") == [state]
        (request,) = api.requests
        assert request.headers["authorization"] == f"Bearer {SECRETS['LAYERCODE_API_KEY']}"


async def test_a_clock_that_is_off_is_told(tmp_path: Path) -> None:
    async with serving() as api:
        date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
        api.answer("/v1/models", response(200, headers={"Date": date}))
        environment = {"OPENAI_API_KEY": SECRETS["OPENAI_API_KEY"], "OPENAI_BASE_URL": f"{api.origin}/v1"}
        findings = await examined_online(tmp_path, POSTCALL_BROKER_PORT="1", **environment)
    assert states_of(findings, "clock") == ["warning"]
    assert "-600 s" in said_by(findings, "clock") or "-599 s" in said_by(findings, "clock")


async def test_no_secret_is_told(log_address: str, tmp_path: Path) -> None:
    security = {"POSTCALL_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "POSTCALL_KAFKA_SASL_USERNAME": "postcall"}
    environment = {**SECRETS, **security, "POSTCALL_KAFKA_SASL_PASSWORD": "swordfish", "POSTCALL_KAFKA": log_address}
    findings = await examined_online(tmp_path, **environment)
    assert "swordfish" not in json.dumps([dataclasses.asdict(finding) for finding in findings])


def test_the_command_prints_json_and_exits_by_the_failures(tmp_path: Path) -> None:
    command = postcall_command("doctor", "--json", "--kafka", "127.0.0.1:1", "--data-dir", str(tmp_path))
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 1
    assert {"check": "log", "state": "failed"}.items() <= next(
        finding for finding in json.loads(ended.stdout) if finding["check"] == "log"
    ).items()
