"""The command `postcall streams`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from postcall.commands.replay import replay
from postcall.options import AsJson, DataDir, Kafka

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


@replay.command("insights")
def replay_insights(  # noqa: PLR0913, PLR0917 - each is an option
    analyzer: Annotated[
        str, typer.Option(help="Which analyzer, NAME or NAME@REVISION; without a revision the newest.")
    ] = "summary",
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only calls of this day and later.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only calls of this day and earlier.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many, and how dear.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    budget_usd: Annotated[
        float | None, typer.Option(help="Ask for nothing more once the run has cost so much, in USD.")
    ] = None,
    resume: Annotated[UUID | None, typer.Option(help="Go on with this run.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    kafka: Kafka = None,
) -> None:
    """Analyze past calls that an analyzer has given no result for, behind the live ones."""
    from decimal import Decimal

    from postcall.errors import UsageError
    from postcall.settings import Configuration
    from streams.replay.insights_command import choose_selection, resume_replay, start_replay
    from streams.replay.insights_run import ReplayOptions

    configuration = Configuration.load(data_dir=data_dir, kafka=kafka, log_level="WARNING")
    options = ReplayOptions(
        is_dry_run=dry_run,
        is_confirmed=yes,
        budget_usd=None if budget_usd is None else Decimal(str(budget_usd)),
        as_json=as_json,
        whereabouts=(
            *(("--data-dir", str(data_dir)) if data_dir else ()),
            *(("--kafka", kafka) if kafka else ()),
        ),
    )
    if resume is None:
        days = {"since": since and since.date(), "until": until and until.date()}
        start_replay(choose_selection(analyzer, **days, session_id=session), configuration, options)
    elif since or until or session or dry_run:
        raise UsageError("A run that is resumed has its selection already: --resume goes with --budget-usd alone.")
    else:
        resume_replay(resume, configuration, options)


@replay.command("events")
def replay_events(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only derive and compare; then leave all as it is.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    kafka: Kafka = None,
) -> None:
    """Derive all events again with today's normalizer, show what would differ, and switch to them, or leave."""
    from postcall.settings import Configuration
    from streams.replay.events_command import ReplayOptions
    from streams.replay.events_command import replay_events as replay_all

    # A log that is started only for this takes any port, and speaks up only when something is wrong.
    configuration = Configuration.load(data_dir=data_dir, kafka=kafka, broker_port=0, log_level="WARNING")
    replay_all(configuration, ReplayOptions(is_dry_run=dry_run, is_confirmed=yes, as_json=as_json))


@replay.command("dead-letters")
def replay_dead_letters(
    where: Annotated[
        str | None,
        typer.Option(help="Only those that fit this condition over the table dead_letters, in DuckDB's SQL."),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only those of this stage.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    dismiss: Annotated[bool, typer.Option("--dismiss", help="Close them without trying again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    kafka: Kafka = None,
) -> None:
    """Try the records again that stages set aside, with today's code; what works is closed, the rest stays open."""
    from postcall.settings import Configuration
    from streams.replay.dead_letters_command import ReplayOptions
    from streams.replay.dead_letters_command import replay_dead_letters as replay_letters

    # A log that is started only for this takes any port, and speaks up only when something is wrong.
    configuration = Configuration.load(data_dir=data_dir, kafka=kafka, broker_port=0, log_level="WARNING")
    options = ReplayOptions(
        where=where, stage=stage, is_dry_run=dry_run, is_dismissal=dismiss, is_confirmed=yes, as_json=as_json
    )
    replay_letters(configuration, options)
