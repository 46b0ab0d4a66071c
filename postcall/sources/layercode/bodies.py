"""A delivery's bytes as one JSON object, and the two fields that every payload has: type and session id.

Covers what may be wrong with bytes. Parsed once, by one parser, since parsers disagree about odd JSON: of repeated
keys the last holds, integers beyond 64 bits become floats, and NaN, infinities and lone surrogates are refused.
"""

from __future__ import annotations

from typing import Any

import orjson

from postcall.sources.base import Identity, UnreadableBody

#: Deeper than any payload; within what every later reader of the event can take.
MAX_NESTING = 100

_ALIASES = {"welcome": "session.start"}
_JSON_KINDS = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
_LONGEST_TYPE = 64


def parse_body(body: bytes) -> dict[str, Any]:
    """The body's object, with NUL characters replaced by U+FFFD: text is for people, and some stores cut at a NUL.

    :raises UnreadableBody: for any other bytes, and nothing else.
    """
    parsed = _parse_object(body)
    if _is_nested_deeper(parsed, MAX_NESTING):
        raise UnreadableBody(f"The body is JSON nested more than {MAX_NESTING} levels deep.")
    return _replace_nul(parsed) if b"\\u0000" in body else parsed


def identify_body(body: bytes) -> Identity:
    """Session id and event type as far as they can be read; never raises."""
    try:
        parsed = _parse_object(body)
    except UnreadableBody:
        return Identity(session_id=None, event_type="unreadable")
    return Identity(session_id=session_id_of(parsed), event_type=event_type_of(parsed) or "unreadable")


def event_type_of(parsed: dict[str, Any]) -> str | None:
    """The event's type in today's spelling: `SESSION_START`, `welcome` and `session.start` are the same."""
    raw = parsed.get("type")
    if not isinstance(raw, str) or not raw.strip():
        return None
    spelled = raw.strip().lower().replace("_", ".").replace("\0", "\ufffd")[:_LONGEST_TYPE]
    return _ALIASES.get(spelled, spelled)


def session_id_of(parsed: dict[str, Any]) -> str | None:
    """The connection: where a payload has `connection_id`, that is it, and its `session_id` is the conversation."""
    return as_id(parsed.get("connection_id")) or as_id(parsed.get("session_id"))


def as_id(raw: Any) -> str | None:
    """An id as opaque text; a number is taken as its digits."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    return raw.replace("\0", "\ufffd") if isinstance(raw, str) and raw.strip() else None


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableBody(f"The body is not JSON ({len(body)} bytes): {error}.") from None
    if not isinstance(parsed, dict):
        kind = _JSON_KINDS.get(type(parsed), "a number")
        raise UnreadableBody(f"The body is {kind}, where an object is expected.", error_class="schema")
    return parsed


def _is_nested_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: dict[str, Any] | list[Any]) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return [child for child in values if isinstance(child, dict | list)]


def _replace_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_replace_nul(child) for child in value]
    if isinstance(value, dict):
        return {key.replace("\0", "\ufffd"): _replace_nul(child) for key, child in value.items()}
    return value
