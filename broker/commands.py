"""`postcall broker`: the embedded log as one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command()
def broker(
    data_dir: Annotated[Path, typer.Option(help="Directory of the log's database; made if it is missing.")] = Path(
        ".postcall/data"
    ),
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 9092,
    host: Annotated[str, typer.Option(help="Address to listen on. There is no authentication.")] = "127.0.0.1",
    listen_fd: Annotated[int | None, typer.Option(help="A listening socket handed down by the parent.")] = None,
) -> None:
    """Run the embedded log: the Kafka protocol over SQLite, for one machine."""
    from broker.server import serve  # noqa: PLC0415 - heavy: only this command pays for it
    from postcall.service import Lifeline, open_listener, run_service  # noqa: PLC0415 - as above

    async def main(lifeline: Lifeline) -> None:
        listener = open_listener(host, port, inherited_fd=listen_fd)
        await serve(data_dir=data_dir, listener=listener, on_ready=lifeline.ready, stopping=lifeline.stopping)

    run_service("broker", main)
