"""`--param NAME=VALUE` of `postcall sql`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from postcall.errors import UsageError

_PARAMETER: Final = re.compile(r"(\w+)=(.*)", re.DOTALL)


def read_parameters(words: Iterable[str]) -> dict[str, Any] | None:
    """Values by name; None if there are none.

    What JSON takes for a number, a truth value, null or a quoted text is that; all else is a text as it stands.

    :raises UsageError: one is no NAME=VALUE, or is given twice.
    """
    values: dict[str, Any] = {}
    for word in words:
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise UsageError(f"--param takes NAME=VALUE, for $NAME in the statement; this is {word!r}.")
        name, text = match.groups()
        if name in values:
            raise UsageError(f"--param {name} is given twice.")
        values[name] = _read_value(text)
    return values or None


def _read_value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=str)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value
