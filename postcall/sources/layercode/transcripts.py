"""Transcript rows in both shapes: `{role, text, timestamp}` and `{user_message, assistant_message, timestamp}`.

The shape is told per row, by its keys. Order is the array's: timestamps have been seen outside the session. Rows
without words give no turn; what a row holds beyond its turns is returned for `extensions`, by the row's index.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from postcall.events import Role, Turn
from postcall.sources.layercode.fields import Fields, as_milliseconds, as_text, as_time, as_word

_ROLES: Final[dict[str | None, Role]] = {"user": "user", "assistant": "assistant"}


def read_transcript(rows: list[Any]) -> tuple[tuple[Turn, ...], dict[str, Any]]:
    """The turns of all rows, and what was left of which row."""
    turns: list[Turn] = []
    left: dict[str, Any] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            left[str(index)] = row
            continue
        fields = Fields(row)
        turns.extend(_read_row(fields))
        if fields.left():
            left[str(index)] = fields.left()
    return tuple(turns), left


def _read_row(fields: Fields) -> Iterator[Turn]:
    is_exchange = "user_message" in fields.left() or "assistant_message" in fields.left()
    yield from _read_exchange(fields) if is_exchange else _read_single(fields)


def _read_single(fields: Fields) -> Iterator[Turn]:
    role = fields.take(lambda raw: _ROLES.get(as_word(raw)), "role")
    spoken_at = fields.take(as_time, "timestamp")
    latency_ms = fields.take(as_milliseconds, "latency_ms")
    text = fields.take(as_text, "text")
    if text is not None and text.strip():
        yield Turn(role=role or "unknown", text=text, spoken_at=spoken_at, latency_ms=latency_ms)


def _read_exchange(fields: Fields) -> Iterator[Turn]:
    spoken_at = fields.take(as_time, "timestamp")
    latency_ms = fields.take(as_milliseconds, "latency_ms")
    user = fields.take(as_text, "user_message")
    assistant = fields.take(as_text, "assistant_message")
    if user is not None and user.strip():
        yield Turn(role="user", text=user, spoken_at=spoken_at)
    if assistant is not None and assistant.strip():
        # The latency is the assistant's: how long the caller waited for this answer.
        yield Turn(role="assistant", text=assistant, spoken_at=spoken_at, latency_ms=latency_ms)
