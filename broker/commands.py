"""`postcall broker`: the embedded log as one process."""

from __future__ import annotations

from typing import Annotated

import typer

from postcall.options import DataDir, ListenFd

commands = typer.Typer(pretty_exceptions_enable=False)


@commands.command(rich_help_panel="Run")
def broker(
    data_dir: DataDir = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default="9092")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. There is no authentication.")] = "127.0.0.1",
    listen_fd: ListenFd = None,
) -> None:
    """Run the embedded log: the Kafka protocol over SQLite, for one machine."""
    from broker.server import serve
    from postcall.service import Lifeline, open_listener, run_service
    from postcall.settings import Configuration, Settings

    settings = Configuration.load(data_dir=data_dir, broker_port=port).read(Settings)

    async def main(lifeline: Lifeline) -> None:
        listener = open_listener(host, settings.broker_port, inherited_fd=listen_fd)
        await serve(data_dir=settings.data_dir, listener=listener, on_ready=lifeline.ready, stopping=lifeline.stopping)

    run_service("broker", main)
