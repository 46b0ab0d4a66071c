"""The live view of the demo: a table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from postcall.demo.settling import Progress
from postcall.simulator.posting import PostingProgress
from postcall.simulator.schedule import Expected
from postcall.supervisor import StateChange

_LINE_INTERVAL_S = 5.0


class DemoView:
    """Shows what has come through so far; everything goes to the given console (stderr)."""

    def __init__(self, console: Console, expected: Expected) -> None:
        self._console = console
        self._expected = expected
        self._posting = PostingProgress(total=expected.webhooks)
        self._progress: Progress | None = None
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._line_printed_at_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show_child(self, change: StateChange) -> None:
        """A service became ready, or fell over."""
        if change.state in {"ready", "exited", "silent"}:
            self._console.print(f"[dim]{change.name} is {change.state}[/]")

    def show_posting(self, posting: PostingProgress) -> None:
        """The vendor has posted more."""
        self._posting = posting
        self._refresh()

    def show_progress(self, progress: Progress) -> None:
        """The warehouse has more."""
        self._progress = progress
        self._refresh()

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._render())
        elif time.monotonic() - self._line_printed_at_s > _LINE_INTERVAL_S:
            self._line_printed_at_s = time.monotonic()
            facts = ", ".join(f"{name} {done}/{of}" for name, done, of in self._lines())
            self._console.print(facts, highlight=False)

    def _lines(self) -> list[tuple[str, int, int]]:
        lines = [("webhooks accepted", self._posting.accepted, self._expected.webhooks)]
        if self._progress is not None:
            counts = self._progress.counts
            lines += [
                ("sessions", counts.sessions, self._expected.sessions),
                ("transcript turns", counts.transcripts, self._expected.turns),
                ("recordings stored", counts.recordings, self._expected.recordings_stored),
                ("summaries", counts.insights, self._expected.calls),
                ("dead letters", counts.dead_letters, self._expected.broken_bodies),
            ]
        return lines

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, done, of in self._lines():
            table.add_row(name, ProgressBar(total=max(of, 1), completed=done, width=40), f"{done} / {of}")
        return table
