"""The SQL files: one per input, per table and per view, each with a header comment and named sections.

Inputs parse a batch's records once (`open`, `set_aside`); tables have a `schema`, an `apply` and a `view`; views only
the latter. The header says what a file reads (`-- reads: events (SessionEnded), …`), and that line is what decides
which topics its projection follows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from postcall.topics import DEAD_LETTERS, DECISIONS, EVENTS, INSIGHTS, RECORDINGS, WEBHOOKS

#: The topic behind each input, by the input's name.
INPUT_TOPICS: Final[dict[str, str]] = {
    "events": EVENTS.name,
    "recordings": RECORDINGS.name,
    "insights": INSIGHTS.name,
    "dead_letters": DEAD_LETTERS.name,
    "decisions": DECISIONS.name,
    "webhooks": WEBHOOKS.name,
}
#: Tables that follow topics: each is a projection with checkpoints of its own.
PROJECTIONS: Final = ("sessions", "transcripts", "recordings", "insights", "dead_letters", "webhooks")
#: In the order in which they build on each other.
VIEWS: Final = ("current_insights", "insight_summary", "calls", "conversations", "daily_metrics")

_SECTION = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_READS = re.compile(r"^-- reads:((?:.*)(?:\n--   .*)*)", re.MULTILINE)
_INPUT = re.compile(r"(\w+) \(([^)]*)\)")
_TYPE = re.compile(r"\b[A-Z]\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlFile:
    """A file of SQL: which types it reads of which inputs (none named = all), and its statements by section."""

    name: str
    reads: dict[str, frozenset[str]]
    sections: dict[str, str]

    def takes(self, kinds: Iterable[tuple[str, str]]) -> bool:
        """Whether any of these (input, type) is one that this file reads."""
        return any(name in self.reads and (not self.reads[name] or kind in self.reads[name]) for name, kind in kinds)

    def __getitem__(self, section: str) -> str:
        return self.sections[section]


@cache
def load_sql(path: str) -> SqlFile:
    """Read `projections/sql/PATH.sql`."""
    text = (resources.files("projections") / "sql" / f"{path}.sql").read_text("utf-8")
    header, *parts = _SECTION.split(text)
    reads = _READS.search(header)
    return SqlFile(
        name=path.rpartition("/")[2],
        reads={name: frozenset(_TYPE.findall(types)) for name, types in _INPUT.findall(reads[1])} if reads else {},
        sections=dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True)),
    )


def load_input(name: str) -> SqlFile:
    """The file that parses one input."""
    return load_sql(f"inputs/{name}")


def load_tables() -> tuple[SqlFile, ...]:
    """Every table: the checkpoints, then the projections."""
    return tuple(load_sql(name) for name in ("checkpoints", *PROJECTIONS))


def load_views(*, reporting_timezone: str) -> dict[str, str]:
    """The SELECT behind each public view, by name, in an order in which they can be created."""
    literal = "'" + reporting_timezone.replace("'", "''") + "'"
    files = [*load_tables(), *(load_sql(f"views/{name}") for name in VIEWS)]
    return {file.name: file["view"].rstrip(";").replace("{reporting_timezone}", literal) for file in files}


def fingerprint() -> str:
    """Changes whenever the rows of a warehouse would: with any statement that opens, defines or merges."""
    files = [*load_tables(), *(load_input(name) for name in INPUT_TOPICS)]
    parts = [file.sections.get(name, "") for file in files for name in ("open", "set_aside", "schema", "apply")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
