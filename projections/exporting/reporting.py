"""An export to Parquet with a progress bar on stderr, and what came of it on stdout."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from postcall.commands.printing import print_json, print_table
from postcall.settings import Settings
from projections.exporting.parquet import TableExport, export_tables, hold_export
from projections.exporting.snapshots import open_snapshot


def export_and_report(directory: Path, settings: Settings, *, only: Sequence[str], as_json: bool) -> None:
    """Export, and say what was written.

    :raises PostcallError: there is no warehouse, or the folder cannot be written.
    """
    started_at_s = time.monotonic()
    try:
        with hold_export(directory), open_snapshot(settings) as snapshot:
            tables = _follow(export_tables(snapshot, directory, only=only))
    except KeyboardInterrupt:
        print("Stopped. Run it again: it goes on from what is there.", file=sys.stderr)  # noqa: T201
        raise SystemExit(130) from None
    seconds = round(time.monotonic() - started_at_s, 1)
    if as_json:
        facts = [dataclasses.asdict(table) for table in tables]
        print_json({"directory": str(directory), "tables": facts, "seconds": seconds})
        return
    rows = ([t.name, str(t.rows), str(t.files), str(t.written), str(t.removed)] for t in tables)
    print_table(["table", "rows", "files", "written", "removed"], rows)


def _follow(exports: Iterable[TableExport]) -> list[TableExport]:
    done: list[TableExport] = []
    columns = (TextColumn("Exporting"), BarColumn(), MofNCompleteColumn(), TextColumn("tables, {task.fields[name]}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("tables", total=None, name="")
        for table in exports:
            done.append(table)
            bar.update(task, completed=len(done), name=table.name)
    return done
