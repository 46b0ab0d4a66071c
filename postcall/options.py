"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=".postcall/data")
]
Kafka = Annotated[
    str | None, typer.Option("--kafka", help="Apache Kafka, host:port,…", show_default="the embedded log")
]
ListenFd = Annotated[int | None, typer.Option("--listen-fd", hidden=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, everything else on stderr.")]
#: The marker file of a data directory that `postcall demo` may empty, and that `postcall up` refuses.
DEMO_MARKER: Final = "demo"
