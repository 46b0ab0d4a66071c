"""Commands that show: settings, status."""

from __future__ import annotations

import asyncio
import dataclasses

from postcall.commands.printing import print_json, print_table
from postcall.errors import PostcallError
from postcall.options import AsJson, DataDir
from postcall.settings import Configuration, SettingRow, Settings


def settings(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print every setting, its value, and where that came from; secrets are masked."""
    from postcall.settings import all_settings

    configuration = Configuration.load(data_dir=data_dir)
    rows: list[SettingRow] = [row for kind in all_settings() for row in configuration.rows(kind)]
    for kind in all_settings():
        configuration.read(kind)
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
    else:
        print_table(("setting", "value", "from", "meaning"), ((r.env, r.value, r.origin, r.meaning) for r in rows))


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
        print_json({**instance.model_dump(), "stages": stages})
        return
    print_table(
        ("what", "where"),
        [
            *(("webhooks", f"{instance.ingest}/webhooks/{name}") for name in SOURCE_MODULES),
            ("private", instance.private),
            ("log", instance.log),
        ],
    )
    print_table(("stage", "reads", "lag in records"), ((s.stage, s.topic, str(s.lag)) for s in state.stages))
