"""The command `postcall streams`."""

from __future__ import annotations

from typing import Annotated

import typer

from postcall.options import DataDir, Kafka

commands = typer.Typer()


@commands.command(rich_help_panel="Run")
def streams(
    data_dir: DataDir = None,
    kafka: Kafka = None,
    stage: Annotated[
        str | None, typer.Option(help="Run only this stage, in this process: normalize, plan, recordings, insights.")
    ] = None,
    slot: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """The stages between the raw log and its results: normalize, plan, download recordings, extract insights."""
    from postcall.errors import UsageError
    from postcall.service import Lifeline, run_service
    from postcall.settings import Configuration
    from postcall.topics import STAGE_INPUTS
    from streams.processes import run_stage_process, supervise_stages

    configuration = Configuration.load(data_dir=data_dir, kafka=kafka)
    if stage is not None and stage not in STAGE_INPUTS:
        raise UsageError(f"There is no stage {stage!r}; there are: {', '.join(STAGE_INPUTS)}.")

    async def main(lifeline: Lifeline) -> None:
        if stage is None:
            await supervise_stages(configuration, lifeline)
        else:
            await run_stage_process(stage, configuration, lifeline, slot=slot)

    run_service(stage or "streams", main)
