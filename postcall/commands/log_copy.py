"""`postcall log copy`: from the embedded log to Apache Kafka, or from one log to another."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from postcall.options import AsJson, DataDir

if TYPE_CHECKING:
    from postcall.log_copy.run import CopyReport
    from postcall.settings import Configuration, Settings


def copy(
    to: Annotated[str, typer.Option("--to", help="Apache Kafka to copy to, host:port,…; POSTCALL_KAFKA_* secure it.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="Log to copy, host:port,…, unsecured.", show_default="that of --data-dir"),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy the log to an Apache Kafka: all records at their offsets, verified; run it again to go on."""
    from postcall.commands.printing import print_json, print_table
    from postcall.instance import find_instance
    from postcall.log_copy.display import report_facts, report_lines, topic_rows
    from postcall.settings import Configuration, Settings

    # A log that is started only for this takes any port, and speaks up only when something is wrong.
    configuration = Configuration.load(data_dir=data_dir, broker_port=0, log_level="WARNING")
    settings = Configuration.load(data_dir=data_dir, kafka=to).read(Settings)
    started_at_s = time.monotonic()
    try:
        report = asyncio.run(_copy(configuration, settings, source))
    except KeyboardInterrupt:
        print("Stopped; what was copied stays. Run it again to go on.", file=sys.stderr)  # noqa: T201
        raise SystemExit(130) from None
    seconds = time.monotonic() - started_at_s
    if as_json:
        print_json(report_facts(report, seconds=seconds))
        return
    print_table(("topic", "partitions", "records", "copied now", "bytes", "sha256"), topic_rows(report))
    lines = report_lines(
        report,
        target=to,
        data_dir=None if source else settings.data_dir,
        is_running=not source and find_instance(settings.data_dir) is not None,
        seconds=seconds,
    )
    for line in lines:
        print(line)  # noqa: T201 - stdout is for data


async def _copy(configuration: Configuration, settings: Settings, source: str | None) -> CopyReport:
    from postcall.log_connection import LogConnection
    from postcall.log_copy.display import shown
    from postcall.log_copy.partitions import CopyProgress
    from postcall.log_copy.run import copy_log
    from postcall.log_copy.source import open_source

    progress = CopyProgress()
    async with AsyncExitStack() as stack:
        target = settings.log
        log = (
            LogConnection(source)
            if source
            else await stack.enter_async_context(open_source(configuration, target=target))
        )
        await stack.enter_async_context(shown(progress))
        return await copy_log(log, target, wanted=settings.topics, progress=progress)
