"""docs/docker.md and the workflow show what works: their commands exist, and name what the compose file has."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.compose.compose_file import COMPOSE_FILE, ROOT, WORKFLOW_FILE, read_services, read_yaml
from tests.compose.documents import PAGE, shown_commands, shown_compose_files
from tests.compose.postcall_commands import parse_command

DOCUMENT = read_yaml(COMPOSE_FILE.read_text("utf-8"))
SERVICES = read_services({"LAYERCODE_WEBHOOK_SECRET": "whsec_documents"})
WORKFLOW = read_yaml(WORKFLOW_FILE.read_text("utf-8"))
#: All that the workflow's steps run.
SCRIPTS = "\n".join(step.get("run", "") for job in WORKFLOW["jobs"].values() for step in job["steps"])
SHOWN_COMPOSE = [shlex.join(words) for words in shown_commands() if words[:2] == ["docker", "compose"]]
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", re.MULTILINE)


def subcommands_of(text: str) -> set[str]:
    return set(re.findall(r"docker compose ([a-z]+)", text))


def services_named_in(text: str) -> set[str]:
    """Those that a command is run in, and those that are scaled."""
    run_in = re.findall(r"docker compose exec (?:-T )?(\w+)", text)
    return {*run_in, *re.findall(r"--scale (\w+)=", text), *re.findall(r"docker compose logs .*?(\w+)$", text)}


def postcall_commands_in(text: str) -> list[list[str]]:
    """The words behind every `exec SERVICE postcall`."""
    return [shlex.split(rest) for rest in re.findall(r"exec (?:-T )?\w+ postcall ([^\n\\]+)", text)]


def test_what_the_page_shows_of_compose_is_run_by_the_workflow() -> None:
    shown = subcommands_of("\n".join(SHOWN_COMPOSE))
    assert {"build", "up", "exec", "stop", "down"} <= shown <= subcommands_of(SCRIPTS)


@pytest.mark.parametrize("line", [*SHOWN_COMPOSE, SCRIPTS], ids=lambda line: line[:40].strip())
def test_services_that_are_named_exist(line: str) -> None:
    assert services_named_in(line) <= set(SERVICES)


def test_commands_of_postcall_that_are_shown_exist() -> None:
    shown = postcall_commands_in("\n".join(SHOWN_COMPOSE))
    assert {words[0] for words in shown} == {"sql", "replay", "log"}
    for words in shown:
        parse_command(words)


def test_commands_of_postcall_that_the_workflow_runs_exist() -> None:
    ran = postcall_commands_in(SCRIPTS)
    assert len(ran) == 3
    for words in ran:
        # `deliver` adds the statement.
        parse_command([*words, "FROM calls"] if words == ["sql"] else words)


def test_whatever_else_the_page_shows_is_there() -> None:
    others = [words for words in shown_commands() if "compose" not in words]
    assert [words[0] for words in others] == ["cp", "docker", "git"]
    copy, tar, _ = others
    assert (ROOT / copy[1]).is_file()
    mounted = {word.partition(":")[0] for word in tar if word.startswith("postcall_")}
    assert mounted == {f"{DOCUMENT['name']}_{volume}" for volume in DOCUMENT["volumes"]}


def test_the_page_says_who_holds_which_secret() -> None:
    table = PAGE.read_text("utf-8").partition("## What runs")[2].partition("\n## ")[0]
    said = {service: set(re.findall(r"`(\w+)`", secrets)) for service, secrets in ROW.findall(table)}
    secrets = set().union(*said.values())
    assert len(secrets) == 4
    assert said == {name: secrets & set(service.environment) for name, service in SERVICES.items()}


def test_without_kafka_here_nothing_waits_for_it() -> None:
    (override,) = [read_yaml(text) for text in shown_compose_files() if "profiles" in text]
    waiting = {name for name, service in SERVICES.items() if "kafka" in service.document.get("depends_on", {})}
    assert set(override["services"]) == waiting | {"kafka"}
    assert not any(override["services"][name]["depends_on"]["kafka"]["required"] for name in waiting)


def test_the_workflow_runs_what_exists() -> None:
    modules = set(re.findall(r"python -m (tests\.[\w.]+)", SCRIPTS))
    assert modules
    assert all((ROOT / f"{module.replace('.', '/')}.py").is_file() for module in modules)
    targets = set(re.findall(r"\bmake (\w+)", SCRIPTS))
    assert targets
    assert all(f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8") for target in targets)
    assert ".ci/run" in SCRIPTS.splitlines()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_workflow_may_only_read_and_pins_its_actions() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    used = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", each) for each in used)


def test_the_workflow_runs_the_pythons_that_the_package_takes() -> None:
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert WORKFLOW["jobs"]["pythons"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize("module", ["deliver", "documents"])
def test_a_script_of_the_workflow_needs_no_installed_package(module: str) -> None:
    # -S: without the packages of this environment.
    imported = subprocess.run(
        [sys.executable, "-S", "-c", f"import tests.compose.{module}"], cwd=ROOT, capture_output=True, check=False
    )
    assert imported.returncode == 0, imported.stderr.decode()
