"""`postcall log accept`: let readers go on that stand still because the log is not the one they know."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from postcall.options import AsJson, DataDir

if TYPE_CHECKING:
    from postcall.known_log.acceptance import HeldReader
    from postcall.known_log.comparison import Kind

_MADE_ANEW: Final = {
    "projections": "makes new tables from this log; the warehouse until now is kept aside",
    "normalize": "reads this log from its beginning; what was derived already collapses by its id",
    "plan": "reads this log from its beginning; what was planned already collapses by its id",
}
_INDEX_ANEW: Final = "forgets its work index, and makes it again from this log"
#: The first kind that is found decides; the others then come with it.
_CONSEQUENCES: Final[dict[Kind, str]] = {
    "records_lost": "goes on where the log begins; the lost records stay unread",
    "copied": "takes the new ids, and goes on where it was",
    "more_partitions": "goes on with all partitions; work of a session that is under way may be done twice",
    "unequal_partitions": "goes on as it is; work of a session may be done twice",
}


def accept(
    data_dir: DataDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    as_json: AsJson = False,
) -> None:
    """Accept the log as it is now, where a reader stands still because it is not the one it knows."""
    from datetime import UTC, datetime

    from postcall.known_log.acceptance import Acceptance, read_held, write_acceptance
    from postcall.settings import Configuration, Settings

    directory = Configuration.load(data_dir=data_dir).read(Settings).data_dir
    readers = read_held(directory)
    if as_json:
        _print_json(readers)
    else:
        _print_readers(readers)
    if not readers:
        print(f"No reader on {directory} stands still. One that may not go on says so when it runs.", file=sys.stderr)  # noqa: T201 - for people
        return
    if not yes:
        _ask()
    write_acceptance(directory, Acceptance(accepted_at=datetime.now(UTC), readers=tuple(readers)))
    print("Accepted; they go on within a few seconds.", file=sys.stderr)  # noqa: T201 - as above


def describe_consequence(held: HeldReader) -> str:
    """What a reader will do once this is accepted."""
    kinds = {finding.kind for finding in held.findings}
    if "made_anew" in kinds:
        # Stages are numbered: `normalize-0`.
        return _MADE_ANEW.get(held.reader.partition("-")[0], _INDEX_ANEW)
    return "; ".join(words for kind, words in _CONSEQUENCES.items() if kind in kinds)


def _ask() -> None:
    from postcall.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("Nobody can be asked here. Look at what it would mean, and then add --yes.")
    typer.confirm("Accept the log as it is?", abort=True, err=True)


def _print_readers(readers: Sequence[HeldReader]) -> None:
    from postcall.commands.printing import print_table

    if not readers:
        return
    columns = ("reader", "topic", "partition", "from", "to", "count", "what was found")
    rows = [
        (
            held.reader,
            finding.topic,
            "all" if finding.partition is None else str(finding.partition),
            str(finding.from_offset),
            str(finding.to_offset),
            str(finding.count),
            finding.reason,
        )
        for held in readers
        for finding in held.findings
    ]
    print_table(columns, rows)
    print_table(("reader", "once accepted"), ((held.reader, describe_consequence(held)) for held in readers))


def _print_json(readers: Sequence[HeldReader]) -> None:
    from postcall.commands.printing import print_json

    print_json([held.model_dump(exclude={"log"}) | {"once_accepted": describe_consequence(held)} for held in readers])
