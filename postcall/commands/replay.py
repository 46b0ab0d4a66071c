"""`postcall replay …`: what is made again. Each room adds the commands for what it makes."""

from __future__ import annotations

import typer

replay = typer.Typer(help="Do again what was done with the log: tables, dead letters, insights.", no_args_is_help=True)
