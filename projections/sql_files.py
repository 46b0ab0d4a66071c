"""SQL files: a header comment, and sections under `-- name:` lines.

Inputs parse a batch's records once (`open`, `set_aside`); projections have a `schema`, an `apply` and perhaps a `view`;
view files have only the last. The header's `-- reads: events (SessionEnded), …` decides which topics a projection
follows. Lines are kept, so that what the engine says of a statement can be told by file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb

from projections.errors import BrokenSqlFile

_SECTION = re.compile(r"^-- name:[ \t]*(\w*)[ \t]*$", re.MULTILINE)
_READS = re.compile(r"^-- reads:((?:.*)(?:\n--   .*)*)", re.MULTILINE)
_INPUT = re.compile(r"(\w+) \(([^)]*)\)")
_TYPE = re.compile(r"\b[A-Z]\w+")
#: Where the engine says in words which line of a statement it means.
_ENGINE_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Statements as they stand in a file, from `line` (counted from 1) on."""

    text: str
    line: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlFile:
    """A file of SQL: which types it reads of which inputs (none named = all), and its statements by section.

    :param path: the file as a person finds it.
    :param is_shipped: whether it is one of this release's, and not a user's own.
    """

    name: str
    path: str
    header: str
    reads: Mapping[str, frozenset[str]]
    sections: Mapping[str, Section]
    is_shipped: bool

    def takes(self, kinds: Iterable[tuple[str, str]]) -> bool:
        """Whether any of these (input, type) is one that this file reads."""
        return any(name in self.reads and (not self.reads[name] or kind in self.reads[name]) for name, kind in kinds)

    def __getitem__(self, section: str) -> str:
        return self.sections[section].text

    def run(self, section: str, connection: duckdb.DuckDBPyConnection) -> None:
        """Run the statements of a section, one after the other.

        :raises BrokenSqlFile: the engine refused one; says file, line and the engine's message.
        """
        for statement, _ in _split(self.sections[section], self.path):
            try:
                connection.execute(statement.text)
            except duckdb.Error as error:
                raise broken_by(error, statement, self.path) from error


def check_kinds(file: SqlFile, section: str, allowed: frozenset[str]) -> None:
    """Refuse statements of other kinds, by the engine's own parser.

    :raises BrokenSqlFile: there is one.
    """
    text = file.sections[section].text.replace("{reporting_timezone}", "'UTC'")
    for statement, kind in _split(replace(file.sections[section], text=text), file.path):
        if kind not in allowed:
            raise BrokenSqlFile(
                path=file.path,
                line=statement.line,
                reason=f"A section {section} has statements of the kinds {', '.join(sorted(allowed))}; this is {kind}.",
            )


def broken_by(error: duckdb.Error, section: Section, path: str) -> BrokenSqlFile:
    """What the engine says of statements, as a fault of the file that they are in."""
    message, _, _ = str(error).partition("\n\n")
    if isinstance(error, duckdb.InterruptException):
        message = "It took longer than statements of a file may, and was stopped."
    found = _ENGINE_LINE.search(str(error))
    line = section.line + (int(found[1]) - 1 if found else 0)
    return BrokenSqlFile(path=path, line=line, reason=" ".join(message.split()))


def read_sql(text: str, *, name: str, path: str, is_shipped: bool) -> SqlFile:
    """Take a file apart."""
    marks = list(_SECTION.finditer(text))
    header = text[: marks[0].start()] if marks else text
    sections = {}
    for number, mark in enumerate(marks, 1):
        body = text[mark.end() : marks[number].start() if number < len(marks) else len(text)]
        start = mark.end() + len(body) - len(body.lstrip())
        sections[mark[1]] = Section(text=body.strip(), line=text.count("\n", 0, start) + 1)
    reads = _READS.search(header)
    return SqlFile(
        name=name,
        path=path,
        header=header,
        reads={name: frozenset(_TYPE.findall(types)) for name, types in _INPUT.findall(reads[1])} if reads else {},
        sections=sections,
        is_shipped=is_shipped,
    )


def read_own_file(path: Path) -> SqlFile:
    """Read a user's file.

    :raises BrokenSqlFile: it is no text.
    :raises OSError: it cannot be read.
    """
    try:
        # Some editors begin a file with a byte order mark.
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenSqlFile(path=str(path), line=1, reason=f"It is not UTF-8: {error.reason}.") from error
    return read_sql(text, name=path.stem, path=str(path), is_shipped=False)


@cache
def load_sql(path: str) -> SqlFile:
    """Read `projections/sql/PATH.sql`."""
    text = (resources.files("projections") / "sql" / f"{path}.sql").read_text("utf-8")
    return read_sql(text, name=path.rpartition("/")[2], path=f"projections/sql/{path}.sql", is_shipped=True)


@cache
def _split(section: Section, path: str) -> tuple[tuple[Section, str], ...]:
    """The statements of a section, each with its first line, and their kinds."""
    with duckdb.connect(":memory:") as parser:
        try:
            found = [(statement.query, statement.type.name) for statement in parser.extract_statements(section.text)]
        except duckdb.Error as error:
            raise broken_by(error, section, path) from error
    statements, position = [], 0
    for text, kind in found:
        if not text or text not in section.text[position:]:
            raise BrokenSqlFile(
                path=path,
                line=section.line + section.text.count("\n", 0, position),
                reason="From here on is a statement that the engine makes into others: a PIVOT must name its values, "
                "as in ON type IN ('a', 'b'), and a PRAGMA cannot be used.",
            )
        position = section.text.index(text, position)
        first = position + len(text) - len(text.lstrip())
        line = section.line + section.text.count("\n", 0, first)
        statements.append((Section(text=text.strip(), line=line), kind))
        position += len(text)
    return tuple(statements)
