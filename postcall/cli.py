"""The command `postcall`: each folder hands in its commands by entry point (`postcall.commands`)."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer
from rich.console import Console

from postcall.errors import PostcallError
from postcall.logs import silence_log_clients


def build_cli() -> typer.Typer:
    """All commands in one application."""
    application = typer.Typer(
        name="postcall",
        help="The post-call data platform for voice agents: webhooks in, recordings, insights and SQL out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    application.callback()(silence_log_clients)
    for entry_point in sorted(entry_points(group="postcall.commands"), key=lambda entry: entry.name):
        application.add_typer(entry_point.load())
    return application


def run_command() -> None:
    """Run a command; a user's mistake is one line and an exit code, never a traceback."""
    try:
        build_cli()()
    except PostcallError as error:
        Console(stderr=True, highlight=False, emoji=False).print(f"postcall: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
