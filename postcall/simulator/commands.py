"""`postcall simulate`: a vendor to try a running pipeline with."""

from __future__ import annotations

from typing import Annotated

import typer

from postcall.options import AsJson

commands = typer.Typer()


@commands.command(rich_help_panel="Operate")
def simulate(
    ingest: Annotated[str, typer.Option(help="Where to post webhooks; {agent_id} in it stands for the agent.")],
    calls: Annotated[int, typer.Option(min=1, help="How many calls.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Webhooks a second (default: as fast as taken).")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of its REST API; 0 = any free one.")] = 8002,
    linger_s: Annotated[float, typer.Option(min=0, help="Serve recordings not yet fetched for so long.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Play the vendor to a running pipeline: sign and post webhooks, serve session details and recordings.

    LAYERCODE_WEBHOOK_SECRET signs and LAYERCODE_API_KEY opens the REST API, both as the pipeline has them; the pipeline
    needs LAYERCODE_API_URL=http://127.0.0.1:8002/v1.
    """
    import asyncio
    import os

    from postcall.simulator.play import play_vendor, print_summary

    playing = play_vendor(
        ingest_url=ingest,
        secret=os.environ.get("LAYERCODE_WEBHOOK_SECRET", ""),
        api_key=os.environ.get("LAYERCODE_API_KEY", "simulated-key"),
        calls=calls,
        seed=seed,
        rate_per_s=rate,
        port=port,
        linger_s=linger_s,
    )
    outcome = asyncio.run(playing)
    print_summary(outcome, as_json=as_json)
    if outcome.refused:
        raise typer.Exit(1)
