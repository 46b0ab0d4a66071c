"""The command `postcall search`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from postcall.options import AsJson, DataDir

commands = typer.Typer()


class Role(StrEnum):
    """Who says something."""

    user = "user"
    assistant = "assistant"


@commands.command(rich_help_panel="Look")
def search(
    phrase: Annotated[str, typer.Argument(help="What was said; case and accents do not matter.")],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Matches at most.")] = 20,
    role: Annotated[Role | None, typer.Option(help="Only what the caller (user) or the agent said.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DAY", help="Only calls of this day or later.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Find what was said in calls, the latest first: postcall search "refund"."""
    import dataclasses

    from rich.console import Console

    from postcall.commands.printing import print_json
    from postcall.settings import Configuration, Settings
    from projections.searching.transcripts import Search, print_matches
    from projections.searching.transcripts import search as search_transcripts
    from projections.settings import QuerySettings

    if not phrase.strip():
        raise typer.BadParameter("There is nothing to look for.")
    configuration = Configuration.load(data_dir=data_dir)
    found = search_transcripts(
        Search(phrase=phrase, role=role, since=since.date() if since else None, limit=limit),
        settings=configuration.read(Settings),
        query_settings=configuration.read(QuerySettings),
    )
    if as_json:
        print_json([dataclasses.asdict(match) for match in found.matches])
    else:
        print_matches(found.matches, phrase, console=Console(highlight=False, markup=False, emoji=False))
    if not found.matches:
        typer.echo("Nobody said that.", err=True)
    elif found.has_more:
        typer.echo(f"postcall: only the first {limit}; --limit shows more.", err=True)
