"""The command `postcall attach`."""

from __future__ import annotations

import typer

from postcall.options import AsJson, DataDir

commands = typer.Typer()


@commands.command(rich_help_panel="Look")
def attach(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print the statement with which another DuckDB attaches the tables of the running pipeline, token included."""
    from postcall.commands.printing import print_json
    from postcall.settings import Configuration, Settings
    from projections.attaching.address import find_address
    from projections.attaching.errors import NotServed

    settings = Configuration.load(data_dir=data_dir).read(Settings)
    address = find_address(settings.data_dir)
    if address is None:
        raise NotServed(
            f"Nothing on {settings.data_dir} is served to other DuckDBs. Start it with POSTCALL_ATTACH_PORT set."
        )
    token = address.made_token or settings.private_token
    if token is None:
        raise NotServed("The token is POSTCALL_PRIVATE_TOKEN, which is set for the pipeline and not here.")
    if as_json:
        print_json({"uri": address.uri, "token": token})
    else:
        quoted = token.replace("'", "''")
        typer.echo(f"ATTACH '{address.uri}' AS postcall (TOKEN '{quoted}');")
