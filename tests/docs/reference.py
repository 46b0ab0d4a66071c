"""`docs/reference.md`, made from the code: `python -m tests.docs.reference > docs/reference.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import typer

from postcall.cli import build_cli
from postcall.settings import Configuration, all_settings
from postcall.topics import ALL_TOPICS, STAGE_INPUTS, stage_group

_HEAD = """# Reference

Commands, settings, topics and consumer groups, as they are in the code. `postcall COMMAND --help` says more.
"""
_SETTINGS = """## Settings

The first that has a value wins: flag, environment, `.env`, `postcall.toml` (there the name is in lower case and without
`POSTCALL_`), default. `postcall settings` prints each value and where it came from.
"""
_TOPICS = """## Topics

Primary topics cannot be made again and want a backup; derived ones can.
"""


def reference() -> str:
    """The page."""
    commands = ((f"`postcall {name}`", meaning) for name, meaning in walk_commands())
    settings = (
        (f"`{row.env}`", f"`{row.value}`", row.meaning) for kind in all_settings() for row in Configuration().rows(kind)
    )
    topics = ((f"`{t.name}`", t.key, t.holds, "primary" if t.is_primary else "derived") for t in ALL_TOPICS)
    groups = ((f"`{stage_group(stage)}`", f"`{topic.name}`") for stage, topic in STAGE_INPUTS.items())
    parts = (
        _HEAD,
        "## Commands\n",
        _table(("command", "what it does"), commands),
        _SETTINGS,
        _table(("environment", "default", "meaning"), settings),
        _TOPICS,
        _table(("topic", "key", "value", "kind"), topics),
        "## Consumer groups\n",
        _table(("group", "reads"), groups),
    )
    return "\n".join(parts)


def walk_commands() -> Iterator[tuple[str, str]]:
    """Every command's words after `postcall`, and the first line of its help."""
    group = typer.main.get_command(build_cli())
    yield from _walk(group, ())


def _walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(words), str(getattr(command, "help", "")).partition("\n\n")[0].replace("\n", " ")
        return
    for name in sorted(children):
        yield from _walk(children[name], (*words, name))


def _table(columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(reference())
