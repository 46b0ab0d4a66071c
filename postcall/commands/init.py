"""`postcall init`: a commented `postcall.toml` and `.env` to begin with."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write them.")] = Path(),
) -> None:
    """Write a postcall.toml and a .env to fill in; files that are there stay as they are."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, template in (("postcall.toml", "postcall.toml"), (".env", "env")):
        target = directory / name
        content = files("postcall").joinpath("templates", template).read_text("utf-8")
        verb = "wrote" if _write_new(target, content) else "kept "
        print(f"{verb} {target}", file=sys.stderr)  # noqa: T201 - the command's answer
    print(  # noqa: T201 - as above
        "Next: put LAYERCODE_WEBHOOK_SECRET and LAYERCODE_API_KEY into .env, then run: postcall up", file=sys.stderr
    )


def _write_new(target: Path, content: str) -> bool:
    try:
        target.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    target.write_text(content, "utf-8")
    return True
