"""`postcall topics`: the table of topics; and on a log, those that are missing made, and the others compared."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postcall.commands.printing import print_json, print_table
from postcall.errors import UsageError
from postcall.options import AsJson, DataDir, Kafka
from postcall.settings import Configuration, Settings

if TYPE_CHECKING:
    from postcall.topic_creation import TopicsReport


def topics(
    create: Annotated[
        bool, typer.Option("--create", help="Make those that are missing on the log; none that is there is altered.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare the log's with the settings; exit code 1 if they differ.")
    ] = False,
    kafka: Kafka = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the topics of the log, what they hold and which of them cannot be made again; --create makes them."""
    if create and check:
        raise UsageError("--create and --check exclude each other.")
    if not create and not check:
        _print_all(as_json=as_json)
        return
    settings = Configuration.load(kafka=kafka, data_dir=data_dir).read(Settings)
    report = asyncio.run(_ask_log(settings, create=create))
    _print_report(report, as_json=as_json)
    if check and (report.missing or report.differences):
        raise typer.Exit(1)


def _print_all(*, as_json: bool) -> None:
    from postcall.topics import ALL_TOPICS

    if as_json:
        print_json([dataclasses.asdict(topic) for topic in ALL_TOPICS])
    else:
        rows = ((t.name, t.key, t.holds, "primary" if t.is_primary else "derived") for t in ALL_TOPICS)
        print_table(("topic", "key", "value", "kind"), rows)


async def _ask_log(settings: Settings, *, create: bool) -> TopicsReport:
    from postcall.instance import find_log
    from postcall.topic_creation import compare_topics, create_topics

    return await (create_topics if create else compare_topics)(find_log(settings), settings.topics)


def _print_report(report: TopicsReport, *, as_json: bool) -> None:
    found = [*_describe_topics(report)]
    if as_json:
        print_json(found)
        return
    print_table(
        ("topic", "state", "partitions", "replicas"),
        ((t["name"], t["state"], str(t["partitions"] or ""), str(t["replication_factor"] or "")) for t in found),
    )
    for difference in report.differences:
        typer.echo(str(difference))
    if report.uncompared:
        typer.echo(f"Not compared, since this user may not read their configs: {', '.join(report.uncompared)}")


def _describe_topics(report: TopicsReport) -> list[dict[str, Any]]:
    from postcall.topic_creation import TOPIC_NAMES

    states = {state.name: state for state in report.states}
    described = []
    for name in dict.fromkeys((*TOPIC_NAMES, *states)):
        differences = [dataclasses.asdict(each) for each in report.differences if each.topic == name]
        state = states.get(name)
        described.append(
            {
                "name": name,
                "state": _word_for(name, report, differs=bool(differences)),
                "partitions": state and state.partitions,
                "replication_factor": state and state.replication_factor,
                "configs": state and state.configs,
                "differences": differences,
            }
        )
    return described


def _word_for(name: str, report: TopicsReport, *, differs: bool) -> str:
    if name in report.missing:
        return "missing"
    if name in report.made:
        return "made"
    return "differs" if differs else "there"
