"""Commands that show: settings, topics, status."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from postcall.errors import PostcallError
from postcall.options import AsJson, DataDir
from postcall.settings import Configuration, SettingRow, Settings

_WIDTH_WITHOUT_TERMINAL = 160


def settings(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print every setting, its value, and where that came from; secrets are masked."""
    from postcall.settings import all_settings

    configuration = Configuration.load(data_dir=data_dir)
    rows: list[SettingRow] = [row for kind in all_settings() for row in configuration.rows(kind)]
    for kind in all_settings():
        configuration.read(kind)
    if as_json:
        _print_json([dataclasses.asdict(row) for row in rows])
    else:
        _print_table(("setting", "value", "from", "meaning"), ((r.env, r.value, r.origin, r.meaning) for r in rows))


def topics(as_json: AsJson = False) -> None:
    """Print the topics of the log, what they hold and which of them cannot be made again."""
    from postcall.topics import ALL_TOPICS

    if as_json:
        _print_json([dataclasses.asdict(topic) for topic in ALL_TOPICS])
    else:
        rows = ((t.name, t.key, t.holds, "primary" if t.is_primary else "derived") for t in ALL_TOPICS)
        _print_table(("topic", "key", "value", "kind"), rows)


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print where the running pipeline is, and how far each stage is behind."""
    from postcall.instance import find_instance
    from postcall.lag import read_log_state
    from postcall.sources import SOURCE_MODULES

    settings = Configuration.load(data_dir=data_dir).read(Settings)
    directory = settings.data_dir
    instance = find_instance(directory)
    if instance is None:
        raise PostcallError(f"No pipeline runs on {directory}. Start one: postcall up --data-dir {directory}")
    state = asyncio.run(read_log_state(settings.log_at(instance.log)))
    if as_json:
        stages = [dataclasses.asdict(stage) for stage in state.stages]
        _print_json({**instance.model_dump(), "stages": stages})
        return
    _print_table(
        ("what", "where"),
        [
            *(("webhooks", f"{instance.ingest}/webhooks/{name}") for name in SOURCE_MODULES),
            ("private", instance.private),
            ("log", instance.log),
        ],
    )
    _print_table(("stage", "reads", "lag in records"), ((s.stage, s.topic, str(s.lag)) for s in state.stages))


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        # The last column is prose and wraps; a name cut short could not be copied.
        table.add_column(column, no_wrap=place < len(columns) - 1, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    console.print(table)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))  # noqa: T201 - stdout is for data
