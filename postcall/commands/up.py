"""`postcall up`: the pipeline for real input."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from postcall.errors import LogMismatch, UsageError
from postcall.instance import Instance
from postcall.options import DEMO_MARKER, DataDir, Kafka
from postcall.settings import Configuration, Settings


def up(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address of the public door.", show_default="every address")] = None,
    port: Annotated[
        int | None, typer.Option(help="Public port, for webhooks; 0 = any free one.", show_default="8000")
    ] = None,
    private_port: Annotated[
        int | None, typer.Option(help="Private port, for SQL; 0 = any free one.", show_default="8001")
    ] = None,
    broker_port: Annotated[
        int | None, typer.Option(help="Port of the embedded log; 0 = any free one.", show_default="9092")
    ] = None,
    kafka: Kafka = None,
) -> None:
    """Run the whole pipeline for real webhooks, until Ctrl-C."""
    from postcall.service import Lifeline, run_service
    from postcall.sources import load_verifiable_sources

    configuration = Configuration.load(
        data_dir=data_dir, host=host, port=port, private_port=private_port, broker_port=broker_port, kafka=kafka
    )
    settings = configuration.read(Settings)
    if (settings.data_dir / DEMO_MARKER).exists():
        raise UsageError(f"{settings.data_dir} belongs to the demo, which empties it. Choose another --data-dir.")
    sources = load_verifiable_sources(configuration)

    async def main(lifeline: Lifeline) -> None:
        from postcall.pipeline import run_pipeline

        async with run_pipeline(configuration) as pipeline:
            lifeline.ready()
            _say(settings, pipeline.instance, sources)
            await lifeline.stopping.wait()
            print("Stopping…", file=sys.stderr)  # noqa: T201 - a person is waiting at the terminal

    run_service("up", main)


def _say(settings: Settings, instance: Instance, sources: Iterable[str]) -> None:
    from postcall.known_log.acceptance import read_held

    analysis = (
        f"{settings.openai_model} at {settings.openai_base_url}, analyzer summary"
        if settings.openai_api_key
        else "the local analyzer; no transcript leaves this machine (set OPENAI_API_KEY to use a model)"
    )
    held = ", ".join(each.reader for each in read_held(settings.data_dir))
    lines = (
        "postcall is up.",
        *([f"  held      {held}: the log is not the one they know; see: {LogMismatch.command}"] if held else []),
        *(
            f"  webhooks  {instance.ingest}/webhooks/{name}   (at the vendor: docs/connect-{name}.md)"
            for name in sources
        ),
        f"  private   {instance.private}   (SQL; try: postcall sql --data-dir {settings.data_dir} 'FROM calls')",
        f"  log       {instance.log}",
        f"  analysis  {analysis}",
    )
    print("\n".join(lines), file=sys.stderr)  # noqa: T201 - the start-up message, for people
