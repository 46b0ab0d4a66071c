"""The commands `postcall projections`, `postcall sql` and `postcall replay projections`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from postcall.commands.new import new
from postcall.commands.replay import replay
from postcall.options import AsJson, DataDir, Kafka, ListenFd

commands = typer.Typer()


class Format(StrEnum):
    """How `postcall sql` prints rows."""

    table = "table"
    json = "json"
    csv = "csv"
    arrow = "arrow"
    parquet = "parquet"


@commands.command(rich_help_panel="Run")
def projections(
    data_dir: DataDir = None,
    kafka: Kafka = None,
    private_host: Annotated[
        str | None, typer.Option(help="Address of the private port.", show_default="127.0.0.1")
    ] = None,
    private_port: Annotated[
        int | None, typer.Option(help="The private port; 0 = any free one.", show_default="8001")
    ] = None,
    listen_fd: ListenFd = None,
) -> None:
    """Keeps the warehouse in step with the log, and answers SQL on the private port."""

    from postcall.service import Lifeline, open_listener, run_service
    from postcall.settings import Configuration, Settings
    from projections.server import serve
    from projections.settings import CopySettings, QuerySettings, WarehouseSettings

    configuration = Configuration.load(
        data_dir=data_dir, kafka=kafka, private_host=private_host, private_port=private_port
    )
    settings = configuration.read(Settings)
    query_settings = configuration.read(QuerySettings)

    async def main(lifeline: Lifeline) -> None:
        with open_listener(settings.private_host, settings.private_port, inherited_fd=listen_fd) as listener:
            await serve(
                settings,
                configuration.read(WarehouseSettings),
                query_settings,
                listener,
                on_ready=lifeline.ready,
                on_held=lifeline.held,
                stopping=lifeline.stopping,
                copy_settings=configuration.read(CopySettings),
            )

    run_service("projections", main)


@commands.command(rich_help_panel="Look")
def sql(
    statement: Annotated[str, typer.Argument(help="One statement that reads; - reads it from stdin.")],
    output: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = Format.table,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A value for $NAME; may be repeated.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Ask the warehouse a question in DuckDB's SQL: postcall sql "FROM calls LIMIT 5"."""
    from postcall.errors import UsageError
    from postcall.settings import Configuration, Settings
    from projections.client import run_query
    from projections.command_parameters import read_parameters
    from projections.errors import ProjectionError, QueryError
    from projections.settings import QuerySettings

    if output in {Format.arrow, Format.parquet} and sys.stdout.isatty():
        raise UsageError(f"{output.capitalize()} is not for a terminal: send it to a file or a program.")
    configuration = Configuration.load(data_dir=data_dir)
    try:
        result = run_query(
            sys.stdin.read() if statement == "-" else statement,
            "json" if output is Format.table else output.value,
            settings=configuration.read(Settings),
            query_settings=configuration.read(QuerySettings),
            parameters=read_parameters(parameters or ()),
        )
    except QueryError as error:
        if error.position is None:
            raise
        raise ProjectionError(f"{error} (at character {error.position + 1})") from error
    if output in {Format.table, Format.json}:
        _print_rows(result.body, output)
    else:
        sys.stdout.buffer.write(result.body)
    if result.is_truncated:
        typer.echo(f"postcall: only the first {result.row_count} rows; POSTCALL_SQL_MAX_ROWS allows more.", err=True)


def _print_rows(body: bytes, output: Format) -> None:
    import orjson
    from rich.console import Console

    from projections.display import print_table

    if output is Format.json:
        start, end = body.index(b'"rows":') + len(b'"rows":'), body.rindex(b',"row_count":')
        # The rows as they are: parsing them would round what JSON can say and Python's numbers cannot.
        sys.stdout.buffer.write(body[start:end] + b"\n")
        return
    answer = orjson.loads(body)
    console = Console(highlight=False, markup=False)
    print_table(answer["columns"], answer["rows"], console=console)
    if not answer["rows"]:
        Console(stderr=True).print("No rows.")


@replay.command("projections")
def replay_projections(
    only: Annotated[str | None, typer.Option(help="Make this one again, and leave the others.")] = None,
    accept_fewer: Annotated[
        bool, typer.Option("--accept-fewer", help="Let the new tables serve also where they have fewer rows.")
    ] = False,
    data_dir: DataDir = None,
    kafka: Kafka = None,
    as_json: AsJson = False,
) -> None:
    """Make all tables again from the log's beginning, while the old ones serve; then switch."""
    from postcall.settings import Configuration
    from projections.api.replays import ReplayRequest
    from projections.replaying import replay_and_report

    # A log that is started only for this takes any port, and speaks up only when something is wrong.
    configuration = Configuration.load(data_dir=data_dir, kafka=kafka, broker_port=0, log_level="WARNING")
    replay_and_report(configuration, ReplayRequest(only=only, accepts_fewer=accept_fewer), as_json=as_json)


@new.command("projection")
def new_projection(
    name: Annotated[str, typer.Argument(help="The name of its table: lower-case letters, digits and _.")],
) -> None:
    """Write a SQL file that fills a table of your own from the log; change it, and the table is made again."""
    from postcall.settings import Configuration
    from projections.new_projection import write_projection
    from projections.settings import WarehouseSettings

    path = write_projection(name, Configuration.load().read(WarehouseSettings).projections_dir)
    typer.echo(f"{path} is written: a running pipeline takes it up at once, and again whenever you save it.")
    typer.echo(f'Then ask: postcall sql "FROM {name} LIMIT 5"')
