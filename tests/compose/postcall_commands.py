"""Command lines of `postcall`, parsed as it does without running them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from postcall.cli import build_cli


def parse_command(words: Sequence[str]) -> None:
    """Parse what follows `postcall`.

    :raises ClickException: there is no such flag, or an argument is missing.
    """
    command: Any = typer.main.get_command(build_cli())
    rest = list(words)
    while hasattr(command, "commands"):
        assert rest[0] in command.commands, f"there is no postcall {rest[0]}"
        command = command.commands[rest.pop(0)]
    command.make_context("postcall", rest)
