"""Single values as JSON and CSV have them.

Times are ISO 8601 in UTC, decimals are numbers, JSON columns are JSON values, bytes are hex. What JSON has no number
for is a text: "NaN", "Infinity", "-Infinity". No control character is left as it is, so that nothing which a caller
said can steer a terminal: JSON escapes them, CSV shows their pictures (␛).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from typing import Any, Final

import orjson

_INTEGERS_OF_JSON: Final = range(-(2**63), 2**64)
#: Nested values of these types have to be looked through, since orjson refuses them or writes null.
_NEEDS_A_LOOK: Final = ("FLOAT", "DOUBLE", "HUGEINT", "BIGNUM", "TIME WITH TIME ZONE")
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
#: Beyond those that JSON escapes in any case: DEL, and U+0080 to U+009F as UTF-8 writes them.
_LATE_CONTROLS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
_PICTURES: Final = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}

Converter = Callable[[Any], Any] | None


def find_converter(kind: str) -> Converter:
    """What values of a type go through before JSON writes them; None = nothing."""
    if kind == "JSON":
        return _embed_json
    if any(name in kind for name in _NEEDS_A_LOOK):
        return _make_writable
    return None


def dump_json(value: Any) -> bytes:
    """A value in JSON."""
    dumped = orjson.dumps(value, default=_write_other, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
    return _LATE_CONTROLS.sub(lambda match: b"\\u%04x" % match[0][-1], dumped)


def make_cell(value: Any) -> Any:
    """A value as the csv module may write it."""
    if isinstance(value, str):
        return make_text_cell(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, float):
        return _make_writable(value)
    # All else as JSON writes it, without the quotes of a plain text.
    text = dump_json(_make_writable(value)).decode()
    return text[1:-1] if text.startswith('"') else text


def make_text_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula, and no terminal for a command."""
    shown = text.translate(_PICTURES)
    return "'" + shown if shown.startswith(_FORMULA_STARTS) else shown


def _embed_json(text: str) -> Any:
    # The engine's JSON may say NaN, and end lists with a comma.
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text)


def _make_writable(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else _name_number(value)
        case int():
            return value if value in _INTEGERS_OF_JSON else orjson.Fragment(str(value))
        case time():
            return value.isoformat()
        case dict():
            return {_make_key(key): _make_writable(item) for key, item in value.items()}
        case list() | tuple():
            return [_make_writable(item) for item in value]
    return value


def _make_key(key: Any) -> Any:
    written = _make_writable(key)
    return str(key) if isinstance(written, orjson.Fragment) else written


def _name_number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _write_other(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
