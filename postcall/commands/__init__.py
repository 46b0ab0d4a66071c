"""The commands that belong to no single room; each room hands in its own."""

import typer

from postcall.commands.demo import demo
from postcall.commands.doctor import doctor
from postcall.commands.init import init
from postcall.commands.log import log
from postcall.commands.log_accept import accept
from postcall.commands.log_copy import copy
from postcall.commands.look import settings, status
from postcall.commands.new import new
from postcall.commands.replay import replay
from postcall.commands.topics import topics
from postcall.commands.up import up

commands = typer.Typer()
commands.command(rich_help_panel="Run")(demo)
commands.command(rich_help_panel="Run")(up)
commands.command(rich_help_panel="Run")(init)
commands.command(rich_help_panel="Run")(doctor)
commands.command(rich_help_panel="Look")(status)
commands.command(rich_help_panel="Look")(topics)
commands.command(rich_help_panel="Look")(settings)

log.command()(accept)
log.command()(copy)
commands.add_typer(log, name="log", rich_help_panel="Operate")
commands.add_typer(replay, name="replay", rich_help_panel="Replay")
commands.add_typer(new, name="new", rich_help_panel="Extend")
