"""Searching transcripts for a phrase: a scan that folds case and accents, through the same door as all of people's SQL.

No index: it would have to follow every insert, and the engine's own does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from postcall.settings import Settings
from projections.client import run_query
from projections.searching.phrases import find_phrase
from projections.settings import QuerySettings
from projections.sql_files import load_sql


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is looked for: a phrase, and perhaps who said it, and from which day on, in the reporting time zone."""

    phrase: str
    role: str | None = None
    since: date | None = None
    limit: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A turn in which the phrase was said."""

    session_id: str
    seq: int
    role: str
    text: str
    #: ISO 8601, UTC: of the turn if that is known, else of the call.
    said_at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The first matches, and whether there are more."""

    matches: Sequence[Match]
    has_more: bool


def search(wanted: Search, *, settings: Settings, query_settings: QuerySettings) -> Found:
    """Look through all transcripts.

    :raises QueryTimedOut: it took longer than a query may.
    :raises ProjectionError: there is no warehouse, or nobody answers.
    """
    statement, parameters = make_query(wanted, timezone=settings.reporting_timezone)
    answer = run_query(statement, "json", settings=settings, query_settings=query_settings, parameters=parameters)
    return read_answer(answer.body, limit=wanted.limit)


def make_query(wanted: Search, *, timezone: str) -> tuple[str, dict[str, Any]]:
    """The statement that looks for it, always the same, and its parameters."""
    parameters = {
        "phrase": wanted.phrase,
        "role": wanted.role,
        "since": wanted.since.isoformat() if wanted.since else None,
        "timezone": timezone,
        # One more than is wanted shows whether there are more.
        "rows": wanted.limit + 1,
    }
    return load_sql("queries/search")["search"], parameters


def read_answer(body: bytes, *, limit: int) -> Found:
    """What was found."""
    rows = orjson.loads(body)["rows"]
    return Found(matches=[Match(**row) for row in rows[:limit]], has_more=len(rows) > limit)


def print_matches(matches: Iterable[Match], phrase: str, *, console: Console) -> None:
    """Print matches for people: session, when and who, and below it what was said, with the phrase in bold."""
    for match in matches:
        head = f"{match.session_id}  {match.said_at[:16].replace('T', ' ')} UTC  {match.role}"
        console.print(Text(_printable(head), style="dim"))
        text = Text(_printable(match.text))
        for start, end in find_phrase(match.text, phrase):
            text.stylize("bold", start, end)
        console.print(text, soft_wrap=not console.is_terminal)


def _printable(text: str) -> str:
    # What callers said must not steer the terminal.
    return "".join(character if character.isprintable() else " " for character in text)
