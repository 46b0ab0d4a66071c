"""What tables and columns mean: the words stand in the headers of the SQL files, and nowhere else.

    -- NAME: what one row is.
    -- over: other, relations
    --
    -- columns:
    --   session_id  what it means
    --   other       what it means, and where it
    --               goes on

A column of a view that has no words of its own has those of the first relation in `-- over:` that has the column. The
page docs/warehouse.md (`projections/warehouse_page.py`), `GET /v1/schema` and the comments of the copy come from here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"-- (\w+): (.+)")
_OVER: Final = re.compile(r"-- over: (.+)")
_COLUMN: Final = re.compile(r"--   (\w+)  +(\S.*)")
_GOES_ON: Final = re.compile(r"--     +(\S.*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class TableWords:
    """What one row of a table is, and what its columns mean; there may be words for more columns than it has."""

    name: str
    meaning: str
    columns: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    name: str
    meaning: str
    over: Sequence[str]
    columns: Mapping[str, str]


@cache
def describe_tables() -> dict[str, TableWords]:
    """The words for every table and view that ships, by name."""
    return describe_files(_shipped_files())


def describe_all(own_files: Path | None) -> dict[str, TableWords]:
    """The words for what ships, and for what the SQL files of a folder define; it need not be there."""
    texts = []
    for path in sorted(own_files.glob("*.sql")) if own_files is not None else ():
        # What cannot be read has no words; that it cannot is told elsewhere.
        with contextlib.suppress(OSError, UnicodeDecodeError):
            texts.append(path.read_text("utf-8"))
    return {**describe_tables(), **describe_files(texts)}


def describe_files(texts: Iterable[str]) -> dict[str, TableWords]:
    """The words for what SQL files define, by name; views after what they are over."""
    described: dict[str, TableWords] = {}
    waiting = [header for text in texts if (header := _read_header(text)) is not None]
    names = {header.name for header in waiting}
    while waiting:
        # What is over itself, or over what nobody defines, inherits what there is.
        ready = [each for each in waiting if names.intersection(each.over) <= described.keys()] or waiting
        for header in ready:
            inherited = [described[name].columns for name in reversed(header.over) if name in described]
            columns: dict[str, str] = {}
            for words in (*inherited, header.columns):
                columns |= words
            described[header.name] = TableWords(name=header.name, meaning=header.meaning, columns=columns)
        waiting = [each for each in waiting if each.name not in described]
    return described


def _read_header(text: str) -> _Header | None:
    lines = text.partition("\n-- name:")[0].splitlines()
    first = _NAME.fullmatch(lines[0]) if lines else None
    if first is None:
        return None
    over = next((match[1] for line in lines if (match := _OVER.fullmatch(line))), "")
    return _Header(
        name=first[1],
        meaning=" ".join([first[2], *_first_paragraph(lines[1:])]),
        over=[name.strip() for name in over.split(",") if name.strip()],
        columns=_read_columns(lines),
    )


def _first_paragraph(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if line.strip() in {"--", ""} or line.startswith(("-- reads", "-- over", "-- columns")):
            return
        yield line.removeprefix("--").strip()


def _read_columns(lines: Sequence[str]) -> dict[str, str]:
    if "-- columns:" not in lines:
        return {}
    columns: dict[str, str] = {}
    last = ""
    for line in lines[lines.index("-- columns:") + 1 :]:
        if column := _COLUMN.fullmatch(line):
            last = column[1]
            columns[last] = column[2]
        elif last and (more := _GOES_ON.fullmatch(line)):
            columns[last] += f" {more[1]}"
        else:
            break
    return columns


def _shipped_files() -> Iterator[str]:
    folder = resources.files("projections") / "sql"
    for part in (folder, folder / "views"):
        for file in sorted(part.iterdir(), key=lambda each: each.name):
            if file.name.endswith(".sql"):
                yield file.read_text("utf-8")
