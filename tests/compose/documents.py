"""What docs/docker.md shows: its commands, its compose files. Needs the standard library only.

    python -m tests.compose.documents FOLDER

writes the compose files of the page into a new folder, for Compose itself to check.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "docker.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown_commands() -> list[list[str]]:
    """The words of each command line; comments are left out."""
    lines = [line for block in _blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def shown_compose_files() -> list[str]:
    """The text of each."""
    return _blocks("yaml")


def sql_command_of_the_page() -> tuple[str, list[str]]:
    """The service that runs SQL, and the words that run it there, without options and statement."""
    for words in shown_commands():
        if words[:3] == ["docker", "compose", "exec"] and words[4:6] == ["postcall", "sql"]:
            return words[3], words[4:6]
    raise AssertionError(f"{PAGE} does not show how to run SQL")


def main(folder: Path) -> None:
    """Write the page's compose files."""
    folder.mkdir()
    for number, text in enumerate(shown_compose_files(), 1):
        (folder / f"{number}.yml").write_text(text, "utf-8")


def _blocks(language: str) -> list[str]:
    return [text for kind, text in _BLOCK.findall(PAGE.read_text("utf-8")) if kind == language]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
