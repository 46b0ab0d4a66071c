"""What docker-compose.yml, the Dockerfile and compose.env.example name exists, and they agree with each other."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from postcall.service import STOP_LIMIT_S
from postcall.settings import Configuration, Settings, all_settings
from postcall.topics import MAX_RECORD_BYTES
from tests.compose.compose_file import (
    COMPOSE_FILE,
    ROOT,
    VARIABLE,
    Service,
    VariableNeeded,
    example_values,
    example_variables,
    read_services,
    read_yaml,
)
from tests.compose.dockerfile import (
    arguments_of,
    copied_sources,
    entrypoint_of,
    environment_of,
    let_into_the_build,
    read_stages,
)
from tests.compose.postcall_commands import parse_command
from tests.logs.jars import kafka_version

#: Named for a file to be read, not a setting; or one of Compose alone.
INTERPOLATED_ONLY = {"INGEST_PORTS"}
SERVICES = read_services({**example_values(), "LAYERCODE_WEBHOOK_SECRET": "whsec_names"})
OURS = {name: service for name, service in SERVICES.items() if name != "kafka"}
DOCUMENT = read_yaml(COMPOSE_FILE.read_text("utf-8"))
IMAGE = read_stages()[-1]


def fields_of_all_settings() -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Each setting's name in the environment, and its declaration."""
    for kind in all_settings():
        names = {row.name: row.env for row in Configuration().rows(kind)}
        yield from ((names[field.name], field) for field in dataclasses.fields(kind) if field.name in names)


def holders_of(secret: str) -> set[str]:
    return {name for name, service in SERVICES.items() if secret in service.environment}


def settings_of(service: Service) -> Settings:
    """What the service reads from the environment that the compose file gives it."""
    return Configuration(environment={**environment_of(IMAGE), **service.environment}).read(Settings)


def port_of_healthcheck(service: Service) -> int:
    return int(service.healthcheck[-1])


@pytest.mark.parametrize("service", OURS.values(), ids=lambda service: service.name)
def test_every_variable_of_a_service_is_a_setting(service: Service) -> None:
    assert set(service.environment) <= {env for env, _ in fields_of_all_settings()}


def test_every_variable_of_the_image_is_a_setting_or_pythons() -> None:
    ours = {name for name in environment_of(IMAGE) if name.startswith("POSTCALL_")}
    assert ours <= {env for env, _ in fields_of_all_settings()}
    assert set(environment_of(IMAGE)) - ours == {"PATH", "PYTHONUNBUFFERED"}


def test_the_example_names_what_the_compose_file_reads() -> None:
    read = {found[1] for found in VARIABLE.finditer(COMPOSE_FILE.read_text("utf-8"))}
    assert example_variables() == read
    assert read - INTERPOLATED_ONLY <= {env for env, _ in fields_of_all_settings()}


def test_a_variable_is_given_on_under_its_own_name() -> None:
    given_on = [
        (name, found[1])
        for service in DOCUMENT["services"].values()
        for name, value in service["environment"].items()
        for found in VARIABLE.finditer(value)
    ]
    assert given_on
    assert all(inside == outside for inside, outside in given_on)


def test_the_example_left_as_it_is_says_what_is_missing() -> None:
    with pytest.raises(VariableNeeded, match=r"LAYERCODE_WEBHOOK_SECRET: .*\.env"):
        read_services(example_values())


def test_a_secret_is_given_to_those_who_hold_it_and_to_nobody_else() -> None:
    secrets = {env: field.metadata["held_by"] for env, field in fields_of_all_settings() if field.metadata["secret"]}
    held = {env: set(held_by) & set(OURS) for env, held_by in secrets.items() if held_by}
    assert {env: holders_of(env) for env in held} == held
    shared = {env for env, held_by in secrets.items() if not held_by}
    assert all("kafka" not in holders_of(env) for env in shared)


@pytest.mark.parametrize("service", OURS.values(), ids=lambda service: service.name)
def test_a_service_is_a_command_of_postcall(service: Service) -> None:
    assert entrypoint_of(IMAGE) == ["postcall"]
    parse_command(service.command)


def test_every_service_has_its_part() -> None:
    assert set(OURS) == {"ingest", "streams", "projections"}
    assert all(service.command[0] == name for name, service in OURS.items())


def test_only_ingest_is_published() -> None:
    assert {name for name, service in SERVICES.items() if service.names("ports")} == {"ingest"}
    (published,) = SERVICES["ingest"].names("ports")
    assert published == f"8000:{settings_of(SERVICES['ingest']).port}"


def test_sql_is_asked_from_inside_alone() -> None:
    assert settings_of(SERVICES["projections"]).private_host == "127.0.0.1"
    assert settings_of(SERVICES["streams"]).private_host == "127.0.0.1"


def test_healthchecks_ask_the_port_that_the_service_listens_on() -> None:
    listening = {
        "ingest": settings_of(SERVICES["ingest"]).port,
        "projections": settings_of(SERVICES["projections"]).private_port,
        "streams": settings_of(SERVICES["streams"]).streams_port,
    }
    assert {name: port_of_healthcheck(service) for name, service in OURS.items()} == listening
    assert {int(port) for port in arguments_of("EXPOSE", IMAGE)[0].split()} == set(listening.values())


def test_the_log_is_where_kafka_listens() -> None:
    kafka = SERVICES["kafka"].environment
    address = {str(settings_of(service).log) for service in OURS.values()}
    assert {f"PLAINTEXT://{each}" for each in address} == {kafka["KAFKA_ADVERTISED_LISTENERS"]}
    assert re.search(r"--bootstrap-server localhost:9092\b", SERVICES["kafka"].healthcheck[1])
    assert "PLAINTEXT://0.0.0.0:9092" in kafka["KAFKA_LISTENERS"]


def test_kafka_is_the_release_that_the_tests_run_and_takes_our_largest_record() -> None:
    assert SERVICES["kafka"].image == f"apache/kafka:{kafka_version()}"
    for name in ("KAFKA_MESSAGE_MAX_BYTES", "KAFKA_REPLICA_FETCH_MAX_BYTES"):
        assert int(SERVICES["kafka"].environment[name]) == MAX_RECORD_BYTES


def mounts_of(service: Service) -> dict[str, str]:
    """The volume at each path."""
    pairs = (mount.split(":") for mount in service.names("volumes"))
    return {path: volume for volume, path in pairs}


def test_data_lies_in_volumes() -> None:
    assert mounts_of(SERVICES["kafka"]) == {SERVICES["kafka"].environment["KAFKA_LOG_DIRS"]: "kafka"}
    for name in ("streams", "projections"):
        assert mounts_of(SERVICES[name]) == {str(settings_of(SERVICES[name]).data_dir): "data"}
    assert set(DOCUMENT["volumes"]) == {"kafka", "data"}


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_a_service_comes_back_and_has_time_to_stop(service: Service) -> None:
    assert service.document["restart"] == "unless-stopped"
    assert service.stop_grace_s > 2 * STOP_LIMIT_S
    assert service.document["cap_drop"] == ["ALL"]
    assert service.document["security_opt"] == ["no-new-privileges:true"]
    assert service.document["logging"]["options"]


def test_what_the_image_copies_is_there_and_let_into_the_build() -> None:
    sources = set(copied_sources())
    assert sources
    assert all(source.exists() for source in sources)
    assert {source.name for source in sources} == let_into_the_build() - {"**/__pycache__"}


def test_the_image_has_every_package_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    wanted = {*packages, project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    assert wanted <= {source.name for source in copied_sources()}


def test_the_image_runs_without_root_and_without_what_built_it() -> None:
    assert len(read_stages()) == 2
    (user,) = arguments_of("USER", IMAGE)
    assert int(user) > 0
    assert arguments_of("STOPSIGNAL", IMAGE) == ["SIGTERM"]
    assert not any("apt-get" in run for run in arguments_of("RUN", IMAGE))
    bases = {arguments.split()[0] for stage in read_stages() for arguments in arguments_of("FROM", stage)}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[123]-slim-\w+", bases.pop())
