"""`postcall new …`: files to begin with. Each room adds the commands for what it reads."""

from __future__ import annotations

import typer

new = typer.Typer(help="Write a file to begin with: a table of your own.", no_args_is_help=True)
