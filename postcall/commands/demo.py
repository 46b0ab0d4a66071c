"""`postcall demo`: see the whole pipeline at work, without an account anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from postcall.options import AsJson


def demo(
    calls: Annotated[int, typer.Option(min=1, max=100_000, help="How many calls to simulate.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 1,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Emptied at every start, if a demo made it.")] = Path(
        ".postcall/demo"
    ),
    once: Annotated[bool, typer.Option("--once", help="Exit when everything has settled.")] = False,
    openai: Annotated[bool, typer.Option("--openai", help="Let OPENAI_API_KEY analyze the calls; this costs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline on simulated calls: no key, no Docker, no network."""
    from postcall.demo.run import DemoOptions, run_demo
    from postcall.service import run_service

    options = DemoOptions(calls=calls, seed=seed, data_dir=data_dir, is_once=once, as_json=as_json, use_openai=openai)
    # The view speaks for the supervisor here; only what goes wrong is worth a line beside it.
    environment = {"POSTCALL_LOG_LEVEL": "WARNING", **os.environ}
    run_service("demo", lambda lifeline: run_demo(options, lifeline), environment=environment)
