"""What the demo says at its end: counts, three questions with their SQL and answers, and how to go on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from postcall.demo.settling import Counts

#: Question, and the SQL that answers it.
QUESTIONS: tuple[tuple[str, str], ...] = (
    (
        "How do callers feel, and how long do they stay on the line?",
        """
SELECT sentiment, count(*) AS calls, round(avg(duration_ms) / 60000, 1) AS minutes
FROM calls GROUP BY sentiment ORDER BY calls DESC
""",
    ),
    (
        "Whom should a person call back first?",
        """
SELECT customer_name, intent, follow_ups[1] AS follow_up
FROM calls WHERE sentiment = 'frustrated' AND len(follow_ups) > 0
ORDER BY ended_at DESC LIMIT 5
""",
    ),
    (
        "What came of the recordings?",
        """
SELECT coalesce(recording_state, 'not recorded') AS recording, count(*) AS calls,
       sum(recording_duration_ms) // 60000 AS minutes
FROM calls GROUP BY ALL ORDER BY calls DESC
""",
    ),
)


def print_report(
    console: Console, counts: Counts, *, calls: int, seconds: float, answers: Sequence[Sequence[dict[str, Any]]]
) -> None:
    """Counts and answers."""
    console.print()
    console.print(f"[bold]{calls} calls[/] went through the pipeline in {seconds:.0f} s:")
    console.print(
        f"  {counts.webhooks} signed webhooks, {counts.sessions} sessions, {counts.transcripts} transcript turns,\n"
        f"  {counts.recordings} recordings stored, {counts.insights} summaries, "
        f"{counts.dead_letters} unreadable {'body' if counts.dead_letters == 1 else 'bodies'} set aside."
    )
    for (question, sql), rows in zip(QUESTIONS, answers, strict=True):
        console.print()
        console.print(f"[bold]{question}[/]")
        for line in sql.strip().splitlines():
            console.print(f"  [dim]{escape(line)}[/]", soft_wrap=True)
        console.print(_table(rows))


def print_next_steps(console: Console, data_dir: Path, *, is_running: bool) -> None:
    """The commands to go on with."""
    postcall, where = _command_name(), f"--data-dir {data_dir}"
    console.print()
    console.print("[bold]Go on with[/]")
    console.print(f'  {postcall} sql {where} "FROM calls LIMIT 5"', markup=False, soft_wrap=True)
    console.print(f'  {postcall} sql {where} --format json "FROM transcripts"', markup=False, soft_wrap=True)
    if is_running:
        console.print(f"  {postcall} status {where}", markup=False, soft_wrap=True)
        console.print("Ctrl-C stops the demo.")
    else:
        console.print(
            f"  {postcall} up   # for your own agent: docs/connect-layercode.md", markup=False, soft_wrap=True
        )


def _command_name() -> str:
    """How this shell reaches `postcall`: by its name, or by its path in a virtual environment that is not active."""
    if shutil.which("postcall"):
        return "postcall"
    script = Path(sys.executable).with_name("postcall")
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else str(script)


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="cyan", padding=(0, 2))
    for column in rows[0] if rows else ():
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    return table
