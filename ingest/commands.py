"""The command `postcall ingest`."""

from __future__ import annotations

from typing import Annotated

import typer

from postcall.options import DataDir, Kafka, ListenFd

commands = typer.Typer()


@commands.command(rich_help_panel="Run")
def ingest(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="every address")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 = any free one.", show_default="8000")] = None,
    kafka: Kafka = None,
    listen_fd: ListenFd = None,
) -> None:
    """The public door: verifies webhooks, appends them to the log, and acknowledges what is durable."""
    import logging

    from ingest.server import serve
    from postcall.service import Lifeline, open_listener, run_service
    from postcall.settings import Configuration, Settings
    from postcall.sources import load_verifiable_sources

    configuration = Configuration.load(data_dir=data_dir, host=host, port=port, kafka=kafka)
    settings = configuration.read(Settings)
    sources = load_verifiable_sources(configuration)
    listener = open_listener(settings.host, settings.port, inherited_fd=listen_fd)

    async def main(lifeline: Lifeline) -> None:
        # It reports each scan of a public port; this service counts them.
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        await serve(
            sources=sources,
            settings=settings,
            listener=listener,
            on_ready=lifeline.ready,
            stopping=lifeline.stopping,
        )

    run_service("ingest", main)
