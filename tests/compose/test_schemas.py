"""docker-compose.yml and the workflow are what Compose and GitHub take, by the schemas in check-jsonschema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compose.compose_file import COMPOSE_FILE, WORKFLOW_FILE
from tests.compose.documents import main as write_shown_compose_files
from tests.compose.documents import shown_compose_files

COMPOSE_SCHEMA = "vendor.compose-spec"


def validate(schema: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Check files against a schema that is part of the tool: nothing is fetched."""
    command = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run(
        [command, "--builtin-schema", schema, *paths], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (COMPOSE_SCHEMA, COMPOSE_FILE),
        ("vendor.github-workflows", WORKFLOW_FILE),
        ("custom.github-workflows-require-timeout", WORKFLOW_FILE),
    ],
)
def test_a_file_fits_its_schema(schema: str, path: Path) -> None:
    ran = validate(schema, path)
    assert ran.returncode == 0, ran.stdout


def test_the_compose_files_that_the_page_shows_fit_the_schema(tmp_path: Path) -> None:
    write_shown_compose_files(tmp_path / "shown")
    paths = sorted((tmp_path / "shown").iterdir())
    assert len(paths) == len(shown_compose_files()) > 0
    ran = validate(COMPOSE_SCHEMA, *paths)
    assert ran.returncode == 0, ran.stdout


def test_the_schema_refuses_what_compose_does(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE_FILE.read_text("utf-8").replace("healthcheck:", "healthchek:", 1), "utf-8")
    assert validate(COMPOSE_SCHEMA, broken).returncode == 1
