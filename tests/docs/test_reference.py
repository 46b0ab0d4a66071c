"""The documents are true: what they name exists, and what exists is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.reference import reference, walk_commands

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
#: In backticks, or at the beginning of a line of a block that a user would type.
COMMAND = re.compile(r"(?:`|^(?:\$ )?)postcall ((?:(?:replay|log|export|new) )?[a-z]+(?:-[a-z]+)*)")
LINK = re.compile(r"\[[^]]+\]\(([^)#]+)(?:#[^)]*)?\)")


def test_the_reference_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert written == reference(), "run: python -m tests.docs.reference > docs/reference.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text("utf-8")) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_exist(page: Path) -> None:
    known = {name for name, _ in walk_commands()}
    shown = {match[1] for line in page.read_text("utf-8").splitlines() for match in COMMAND.finditer(line)}
    assert shown <= known


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme
