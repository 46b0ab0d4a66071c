"""The commands `postcall export duckdb` and `postcall export parquet`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from postcall.options import AsJson, DataDir

export = typer.Typer(help="Write what the warehouse holds into files for other tools.", no_args_is_help=True)
commands = typer.Typer()


@export.command("duckdb")
def export_duckdb(
    file: Annotated[Path, typer.Argument(help="The database to write; one that is there is replaced.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a whole database that any DuckDB opens, whether a pipeline runs or not."""
    import time

    from postcall.commands.printing import print_json
    from postcall.settings import Configuration, Settings
    from projections.exporting.databases import export_database
    from projections.settings import WarehouseSettings

    started_at_s = time.monotonic()
    configuration = Configuration.load(data_dir=data_dir)
    own_files = configuration.read(WarehouseSettings).projections_dir
    exported = export_database(file, configuration.read(Settings), own_files=own_files)
    seconds = round(time.monotonic() - started_at_s, 1)
    if as_json:
        facts = {"file": str(exported.path), "bytes": exported.bytes, "left_out": exported.left_out, "seconds": seconds}
        print_json(facts)
    else:
        typer.echo(f"{exported.path}: {exported.bytes / 1e6:.1f} MB in {seconds} s.")
    for name in exported.left_out:
        typer.echo(f"postcall: {name} is not in it: its rows cannot be read.", err=True)


@export.command("parquet")
def export_parquet(
    directory: Annotated[Path, typer.Argument(help="Where to; the last export that is there is brought up to date.")],
    table: Annotated[list[str] | None, typer.Option(help="Only this table; may be repeated.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write every table as Parquet files by day; only the days that changed are written again."""
    from postcall.settings import Configuration, Settings
    from projections.exporting.reporting import export_and_report

    settings = Configuration.load(data_dir=data_dir).read(Settings)
    export_and_report(directory, settings, only=table or [], as_json=as_json)


commands.add_typer(export, name="export", rich_help_panel="Operate")
