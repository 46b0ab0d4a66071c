"""Another DuckDB in a process of its own: attaches, runs statements, and says what came of each.

It reads statements from stdin, each a JSON string on a line, and answers each with a line: rows or an error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from projections.attaching.extensions import find_extensions

_BOOT = "from tests.projections.attach_client import main; main()"


class Client:
    """A running one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, sql: str) -> list[list[Any]]:
        """The rows of a statement; fails the test if it has none."""
        answer = self.ask(sql)
        assert "error" not in answer, f"{sql}: {answer['error']}"
        rows: list[list[Any]] = answer["rows"]
        return rows

    def error_of(self, sql: str) -> str:
        """The error of a statement; fails the test if it was run."""
        answer = self.ask(sql)
        assert "error" in answer, f"{sql} was run: {answer['rows']}"
        return str(answer["error"])

    def attach(self, uri: str, token: str, *, name: str = "postcall") -> str | None:
        """Attach what is served there; returns the error, if there is one."""
        return self.ask(f"ATTACH '{uri}' AS {name} (TOKEN '{token}')").get("error")

    def ask(self, sql: str) -> dict[str, Any]:
        """Rows or an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(sql) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def start_client() -> Iterator[Client]:
    """A client, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with process:
        try:
            yield Client(process)
        finally:
            process.kill()


def main() -> None:
    """The client's process."""
    connection = duckdb.connect()
    for extension in find_extensions():
        connection.execute(f"LOAD '{extension}'")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(connection, json.loads(line)), default=str) + "\n")
        sys.stdout.flush()


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    try:
        return {"rows": connection.execute(sql).fetchall()}
    except duckdb.Error as error:
        return {"error": str(error)}
