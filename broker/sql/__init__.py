"""The SQL of the embedded log: `schema.sql` makes the tables, `queries.sql` holds every statement under its name."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

_NAME_LINE = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def parse_queries(text: str) -> dict[str, str]:
    """Statements by name: each starts with a line `-- name --`, then a comment that says what it is for."""
    _, *parts = _NAME_LINE.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


SCHEMA: Final = _read("schema.sql")
QUERIES: Final = parse_queries(_read("queries.sql"))
