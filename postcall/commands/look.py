"""Commands that show: settings, status."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from postcall.commands.printing import print_json, print_table
from postcall.errors import PostcallError
from postcall.options import AsJson, DataDir, Kafka
from postcall.settings import Configuration, SettingRow, Settings

if TYPE_CHECKING:
    from postcall.instance import Instance
    from postcall.log_connection import LogConnection


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


def status(data_dir: DataDir = None, kafka: Kafka = None, as_json: AsJson = False) -> None:
    """Print where the running pipeline is, how far each stage is behind, and how many processes share it.

    With --kafka, or where services run one by one, the log alone is asked.
    """
    from postcall.instance import find_instance
    from postcall.known_log.acceptance import read_held
    from postcall.paused_stages import read_pauses

    settings = Configuration.load(data_dir=data_dir, kafka=kafka).read(Settings)
    directory = settings.data_dir
    instance = None if kafka else find_instance(directory)
    if instance is None and settings.kafka is None:
        raise PostcallError(f"No pipeline runs on {directory}. Start one: postcall up --data-dir {directory}")
    log = settings.log if instance is None else settings.log_at(instance.log)
    stages = asyncio.run(_read_stages(log))
    held = read_held(directory)
    paused = read_pauses(directory)
    if as_json:
        standing = {
            "held": [each.model_dump(exclude={"log"}) for each in held],
            "paused": [each.model_dump(mode="json") for each in paused],
        }
        print_json(
            {
                **(instance.model_dump() if instance else {"log": str(log)}),
                "stages": stages,
                "held": standing,
                "paused": [each.model_dump(mode="json") for each in paused],
            }
        )
        return
    print_table(("what", "where"), _places(instance, log))
    rows = ((row["stage"], row["topic"], str(row["lag"]), row["group"], str(row["members"])) for row in stages)
    print_table(("stage", "reads", "lag in records", "group", "processes"), rows)
    if paused:
        print_table(("pauses", "since", "why"), ((p.stage, f"{p.since:%F %T}", p.reason) for p in paused))
    if held:
        print_table(("held", "why"), ((each.reader, each.findings[0].reason) for each in held))
        print(f"See what accepting it would mean: postcall log accept --data-dir {directory}", file=sys.stderr)  # noqa: T201 - for people


async def _read_stages(log: LogConnection) -> list[dict[str, Any]]:
    from postcall.lag import read_log_state
    from postcall.stage_groups import read_stage_groups

    # The lag first: it waits until a Kafka that was just started knows its groups.
    lags = (await read_log_state(log)).stages
    groups = {group.stage: group for group in await read_stage_groups(log)}
    return [
        {**dataclasses.asdict(lag), "group": groups[lag.stage].state, "members": groups[lag.stage].members}
        for lag in lags
    ]


def _places(instance: Instance | None, log: LogConnection) -> Iterator[tuple[str, str]]:
    from postcall.sources import SOURCE_MODULES

    if instance is not None:
        yield from (("webhooks", f"{instance.ingest}/webhooks/{name}") for name in SOURCE_MODULES)
        yield "private", instance.private
    yield "log", str(log)
