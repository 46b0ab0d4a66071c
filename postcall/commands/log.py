"""`postcall log …`: what is done to the log as a whole. Each command has a module of its own."""

from __future__ import annotations

import typer

log = typer.Typer(help="Move the log, or accept one that is not the one we know.", no_args_is_help=True)
