"""`postcall doctor`: what is well, what is not, and what to do."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from postcall.commands.printing import print_json
from postcall.options import AsJson, DataDir, Kafka
from postcall.settings import Configuration

if TYPE_CHECKING:
    from postcall.doctor.findings import Finding


def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Also ask the APIs outside whether they accept our keys; costs nothing.")
    ] = False,
    kafka: Kafka = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, disk, log, topics and readers; each line says what to do. Exit code 1 if something failed."""
    configuration = Configuration.load(kafka=kafka, data_dir=data_dir)
    findings = asyncio.run(_examine(configuration, is_online=online, as_json=as_json))
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(1)


async def _examine(configuration: Configuration, *, is_online: bool, as_json: bool) -> list[Finding]:
    from postcall.doctor.examination import examine

    findings = []
    async for finding in examine(configuration, is_online=is_online):
        findings.append(finding)
        if not as_json:
            typer.echo(str(finding))
    return findings
