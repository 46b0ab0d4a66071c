"""The DuckDB that clients attach: it has the copy attached read-only, and runs only what `admission.sql` writes.

Its own database is in memory and holds that file's macros and two small tables. A copy is attached through a hard link
that is removed at once: the file stays while it is read, whatever takes its name, and two copies can be open at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from projections.attaching.errors import TablesChanged

_THREADS: Final = 2
#: What the engine may use of the process's memory; the rest is for the answers on their way.
_ENGINE_SHARE: Final = 0.6

_SHOW: Final = """
    INSERT INTO shown
    SELECT table_name,
           'CREATE TABLE ' || quoted(table_name) || ' ('
               || string_agg(quoted(column_name) || ' ' || data_type, ', ' ORDER BY column_index) || ')',
           count(*)
    FROM duckdb_columns()
    WHERE database_name = ? AND schema_name = 'main' AND NOT internal
    GROUP BY table_name
"""


class AttachEngine:
    """Serves one copy after another.

    :param links: a folder of our own on the copy's file system.
    """

    def __init__(self, extensions: Iterable[Path], *, links: Path, memory_mb: int) -> None:
        self._links = links
        self._count = 0
        self._tables: list[tuple[str, str, int]] | None = None
        self._connection = duckdb.connect(":memory:")
        for extension in extensions:
            self._connection.execute(f"LOAD {_literal(str(extension))}")
        self._connection.execute(files("projections.attaching").joinpath("admission.sql").read_text("utf-8"))
        for name, value in (
            ("quack_authorization_function", "'admit'"),
            ("threads", str(_THREADS)),
            ("memory_limit", f"'{int(memory_mb * _ENGINE_SHARE)}MB'"),
            ("temp_directory", "''"),
            ("autoload_known_extensions", "false"),
            ("autoinstall_known_extensions", "false"),
            ("allow_community_extensions", "false"),
            ("allowed_directories", f"[{_literal(f'{links}/')}]"),
            ("enable_external_access", "false"),
            ("lock_configuration", "true"),
        ):
            self._connection.execute(f"SET GLOBAL {name} = {value}")

    def show(self, copy: Path) -> None:
        """Let all scans from now on read this copy. Those under way go on with theirs.

        :raises TablesChanged: clients know other tables or columns, and name a column by its number: serve anew.
        :raises duckdb.Error: it is no database that can be read; the copy before goes on to be served.
        """
        name = f"copy_{self._count + 1}"
        link = self._links / f"{name}.duckdb"
        link.unlink(missing_ok=True)
        link.hardlink_to(copy)
        try:
            self._connection.execute(f"ATTACH {_literal(str(link))} AS {name} (READ_ONLY)")
        finally:
            link.unlink()
        self._count += 1
        self._turn_to(name)
        # A statement that was admitted a moment ago may name the copy before; the one before that, none does any more.
        if self._count > 2:
            self._connection.execute(f"DETACH copy_{self._count - 2}")

    def serve(self, *, host: str, port: int, token: str) -> None:
        """Listen, and answer clients in threads of the extension's own.

        :raises duckdb.Error: the address cannot be had.
        """
        address = f"[{host}]" if ":" in host else host
        # Whether the address may be one that others reach was decided where the settings are read.
        self._connection.execute(
            "CALL quack_serve(?, token := ?, allow_other_hostname := true)",
            [f"quack:{address}:{port}", token],
        )

    def admit(self, statement: str) -> str | None:
        """What would be run for a client's statement; None = refused."""
        try:
            row = self._connection.execute("SELECT admit('', ?)", [statement]).fetchone()
        except duckdb.Error:
            return None
        return None if row is None else row[0]

    def close(self) -> None:
        """Close everything."""
        self._connection.close()

    def _turn_to(self, name: str) -> None:
        cursor = self._connection
        cursor.execute("BEGIN")
        cursor.execute("DELETE FROM shown")
        cursor.execute("DELETE FROM serving")
        cursor.execute("INSERT INTO serving VALUES (?)", [name])
        cursor.execute(_SHOW, [name])
        tables = cursor.execute("FROM shown ORDER BY ALL").fetchall()
        if self._tables not in (None, tables):
            cursor.execute("ROLLBACK")
            raise TablesChanged
        cursor.execute("COMMIT")
        self._tables = tables


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
