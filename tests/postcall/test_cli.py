"""The command line as a user meets it: real processes, exit codes, one line for a mistake."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from postcall.supervisor import postcall_command


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `postcall …` in a directory, with no settings but those given."""
    base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        postcall_command(*arguments),
        cwd=cwd,
        env=base | {"COLUMNS": "140"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_line(outcome: subprocess.CompletedProcess[str], *, exit_code: int) -> str:
    assert outcome.returncode == exit_code, outcome.stderr
    assert "Traceback" not in outcome.stderr
    (line,) = outcome.stderr.strip().splitlines()
    return line


def test_help_names_every_command_in_its_group(tmp_path: Path) -> None:
    outcome = run("--help", cwd=tmp_path)
    assert outcome.returncode == 0
    for word in (
        "Run",
        "Look",
        "demo",
        "up",
        "broker",
        "ingest",
        "streams",
        "projections",
        "sql",
        "status",
        "settings",
    ):
        assert word in outcome.stdout


def test_an_unknown_command_is_wrong_usage(tmp_path: Path) -> None:
    outcome = run("fly", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "No such command 'fly'" in outcome.stderr


def test_settings_show_values_and_origins_but_no_secret(tmp_path: Path) -> None:
    (tmp_path / "postcall.toml").write_text("partitions = 12\n")
    outcome = run("settings", "--json", cwd=tmp_path, POSTCALL_PORT="8080", LAYERCODE_API_KEY="hush")
    rows = {row["env"]: row for row in json.loads(outcome.stdout)}
    assert (rows["POSTCALL_PORT"]["value"], rows["POSTCALL_PORT"]["origin"]) == ("8080", "environment")
    assert (rows["POSTCALL_PARTITIONS"]["value"], rows["POSTCALL_PARTITIONS"]["origin"]) == ("12", "postcall.toml")
    assert rows["LAYERCODE_API_KEY"]["value"] == "(set)"
    assert "hush" not in outcome.stdout


@pytest.mark.parametrize("command", ["up", "status", "settings"])
def test_a_wrong_setting_is_one_line(command: str, tmp_path: Path) -> None:
    line = assert_one_line(run(command, cwd=tmp_path, POSTCALL_PARTITIONS="several"), exit_code=2)
    assert "POSTCALL_PARTITIONS" in line
    assert "several" in line


def test_topics_are_printed_for_people_and_programs(tmp_path: Path) -> None:
    names = [topic["name"] for topic in json.loads(run("topics", "--json", cwd=tmp_path).stdout)]
    assert "postcall.webhooks" in names
    shown = run("topics", cwd=tmp_path).stdout
    assert all(name in shown for name in names)


def test_status_without_a_pipeline_says_how_to_start_one(tmp_path: Path) -> None:
    line = assert_one_line(run("status", cwd=tmp_path), exit_code=1)
    assert "postcall up" in line


def test_init_writes_what_is_missing_and_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LAYERCODE_WEBHOOK_SECRET=mine\n")
    first, second = run("init", cwd=tmp_path), run("init", cwd=tmp_path)
    assert "wrote postcall.toml" in first.stderr
    assert "kept  postcall.toml" in second.stderr
    assert (tmp_path / ".env").read_text() == "LAYERCODE_WEBHOOK_SECRET=mine\n"
    assert run("settings", cwd=tmp_path).returncode == 0


def test_up_without_a_webhook_secret_names_it(tmp_path: Path) -> None:
    line = assert_one_line(run("up", cwd=tmp_path), exit_code=2)
    assert "LAYERCODE_WEBHOOK_SECRET" in line


def test_up_leaves_the_demos_directory_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").touch()
    line = assert_one_line(run("up", "--data-dir", str(tmp_path), cwd=tmp_path), exit_code=2)
    assert "belongs to the demo" in line


def test_the_demo_empties_no_directory_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    line = assert_one_line(run("demo", "--once", "--data-dir", str(tmp_path), cwd=tmp_path), exit_code=2)
    assert "stays as it is" in line
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        outcome = run("up", "--host", "127.0.0.1", "--port", port, cwd=tmp_path, LAYERCODE_WEBHOOK_SECRET="s")
    line = assert_one_line(outcome, exit_code=2)
    assert f"127.0.0.1:{port}" in line


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_that_is_none_is_one_line(tmp_path: Path, port: str) -> None:
    outcome = run("up", "--host", "127.0.0.1", "--port", port, cwd=tmp_path, LAYERCODE_WEBHOOK_SECRET="s")
    assert f"127.0.0.1:{port}: a port" in assert_one_line(outcome, exit_code=2)
