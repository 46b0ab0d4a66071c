"""Tolerant reading of one JSON object: what is understood is taken out, and what is left becomes `extensions`.

So a field that is unknown, or has another type than it should, is kept as it came and fails nothing. Units are known
by a field's name and never guessed from a value's size.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMERIC = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?", re.ASCII)
# About 31,000 years in milliseconds: whatever is longer was no duration, and would not fit a 64-bit column.
_LONGEST_MS: Final = 10**15


class Fields:
    """An object while it is being read."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._left = dict(values)

    def take(self, convert: Callable[[Any], T | None], *names: str) -> T | None:
        """The first of the fields that `convert` understands; null and empty text count as absent."""
        for name in names:
            if name not in self._left:
                continue
            if self._left[name] is None or self._left[name] == "":
                del self._left[name]
                continue
            value = convert(self._left[name])
            if value is not None:
                del self._left[name]
                return value
        return None

    def look(self, name: str) -> Any:
        """A field as it came, left where it is."""
        return self._left.get(name)

    def keep(self, name: str, value: Any) -> None:
        """Put a part back that was not understood."""
        self._left[name] = value

    def left(self) -> dict[str, Any]:
        """What nobody took."""
        return self._left


def as_text(raw: Any) -> str | None:
    """Text as it came."""
    return raw if isinstance(raw, str) else None


def as_word(raw: Any) -> str | None:
    """A word of a vocabulary, in lower case."""
    return raw.strip().lower() if isinstance(raw, str) else None


def as_object(raw: Any) -> dict[str, Any] | None:
    """An object."""
    return raw if isinstance(raw, dict) else None


def as_list(raw: Any) -> list[Any] | None:
    """An array."""
    return raw if isinstance(raw, list) else None


def as_number(raw: Any) -> float | None:
    """A number, or text that is one."""
    if isinstance(raw, str) and _NUMERIC.fullmatch(raw.strip()):
        return float(raw)
    return raw if isinstance(raw, int | float) and not isinstance(raw, bool) else None


def as_milliseconds(raw: Any) -> int | None:
    """A length that is given in milliseconds."""
    number = as_number(raw)
    return round(number) if number is not None and 0 <= number <= _LONGEST_MS else None


def seconds_as_milliseconds(raw: Any) -> int | None:
    """A length that is given in seconds."""
    number = as_number(raw)
    return as_milliseconds(number * 1000) if number is not None else None


def as_time(raw: Any) -> datetime | None:
    """A time: Unix milliseconds as a number or as text, or ISO 8601 (UTC where it names no zone)."""
    number = as_number(raw)
    try:
        if number is not None:
            return _EPOCH + timedelta(milliseconds=number)
        return _from_iso(raw.strip()) if isinstance(raw, str) else None
    except (ValueError, OverflowError):
        return None


def _from_iso(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
