"""A session as one document, and finding sessions: fixed queries, beside the writer.

What comes from outside is only ever a parameter. Everything here blocks, and reads one state of the warehouse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import duckdb
import orjson

from projections.sql_files import load_sql

Row = dict[str, Any]

#: Analyzers that every finished call is given to: until there is a word of them, they are awaited.
LIVE_ANALYZERS: Final = ("summary",)
_JSON_COLUMNS: Final = frozenset({"metadata", "extensions", "result"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A session's place in the order of a lookup."""

    at: datetime
    session_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """Which sessions: all that is given holds of them. `metadata` is compared as text, by key."""

    conversation_id: str | None = None
    agent_id: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    since: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Sessions in short, the latest first, and the place behind which the next page begins, if there is one."""

    sessions: Sequence[Row]
    next: Place | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingFile:
    """Where a session's recording is, as far as anything is known of it."""

    state: str | None
    uri: str | None
    reason: str | None


def read_session(reader: duckdb.DuckDBPyConnection, session_id: str) -> Row | None:
    """All that is known of a session; None where nothing is."""
    session = _first(reader, "session", session_id=session_id)
    if session is None:
        return None
    recording = _first(reader, "recording", session_id=session_id)
    analyses = _rows(reader, "analyses", session_id=session_id, input_hash=session["input_hash"])
    return {
        "session": session,
        "conversation": _read_conversation(reader, session),
        "transcript": _rows(reader, "transcript", session_id=session_id),
        "recording": recording,
        "insights": {row.pop("analyzer"): row for row in _rows(reader, "insights", session_id=session_id)},
        "states": _tell_states(session, recording, analyses),
    }


def find_sessions(reader: duckdb.DuckDBPyConnection, lookup: Lookup, *, behind: Place | None, limit: int) -> Page:
    """A page of the sessions that match. A session that comes in meanwhile moves no other onto another page."""
    found = _rows(
        reader,
        "lookup",
        conversation_id=lookup.conversation_id,
        agent_id=lookup.agent_id,
        from_number=lookup.from_number,
        to_number=lookup.to_number,
        since=lookup.since,
        paths=[_pointer(key) for key in lookup.metadata],
        wanted=list(lookup.metadata.values()),
        before_at=behind and behind.at,
        before_id=behind and behind.session_id,
        rows=limit + 1,
    )
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return Page(
        # One by one: for a given session the engine reads few rows, for a list of them every one.
        sessions=[row for each in page for row in _rows(reader, "short", session_id=each["session_id"])],
        next=Place(at=last["moment"], session_id=last["session_id"]) if last else None,
    )


def find_recording(reader: duckdb.DuckDBPyConnection, session_id: str) -> RecordingFile | None:
    """Where a session's recording is; None where there is no such session."""
    row = _first(reader, "recording_file", session_id=session_id)
    return None if row is None else RecordingFile(**row)


def _read_conversation(reader: duckdb.DuckDBPyConnection, session: Row) -> Row:
    identity = {"session_id": session["session_id"], "conversation_id": session["conversation_id"]}
    alone = {"conversation_id": None, "session_number": 1, "is_last": True, "session_count": 1}
    if session["conversation_id"] is None:
        return alone
    return _first(reader, "conversation", **identity) or alone


def _tell_states(session: Row, recording: Row | None, analyses: Iterable[Row]) -> Row:
    told = {row.pop("analyzer"): row for row in analyses}
    # The vendor may announce an end without its time; only what has ended is analyzed.
    has_ended = session["ended_at"] is not None or bool(told)
    for analyzer in LIVE_ANALYZERS:
        if analyzer not in told:
            told[analyzer] = {"revision": None, "state": "awaited" if has_ended else "not_due", "reason": None}
    recording_state = recording["state"] if recording else _expect_recording(session)
    states = [recording_state, *(row["state"] for row in told.values())]
    return {
        "session": "ended" if has_ended else "open",
        "recording": recording_state,
        "analyses": told,
        "is_settled": has_ended and "awaited" not in states,
    }


def _expect_recording(session: Row) -> str:
    expected: bool | None = session["recording_expected"]
    return {True: "awaited", False: "not_expected", None: "unknown"}[expected]


def _pointer(key: str) -> str:
    """A key of the metadata as a JSON pointer, in which a dot, a quote or an asterisk is nothing special."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _first(reader: duckdb.DuckDBPyConnection, query: str, **parameters: Any) -> Row | None:
    return next(iter(_rows(reader, query, **parameters)), None)


def _rows(reader: duckdb.DuckDBPyConnection, query: str, **parameters: Any) -> list[Row]:
    result = reader.execute(load_sql("queries/sessions")[query], parameters)
    names = [column[0] for column in result.description]
    return [{name: _value(name, value) for name, value in zip(names, row, strict=True)} for row in result.fetchall()]


def _value(name: str, value: Any) -> Any:
    # JSON goes out as it is: parsing it would round what Python's numbers cannot say.
    return orjson.Fragment(value) if name in _JSON_COLUMNS and isinstance(value, str) else value
