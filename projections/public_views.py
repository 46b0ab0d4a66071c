"""The public views: what each projection shows of its serving build, and the views over these.

They stand in schema `main` of the file, and in `base.views` in the order in which they build on each other, so that
whoever reads the file needs no SQL file. Names of a build's own tables are qualified on the engine's own parse tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any, Final

import duckdb
import orjson

from projections.definitions import Definitions
from projections.errors import BrokenSqlFile
from projections.query.catalog import make_catalog
from projections.sql_files import Section, SqlFile, broken_by, load_sql
from projections.transactions import transaction

_CHECKPOINTS: Final = "checkpoints"


class PublicViews:
    """The public views of a warehouse, written through the connection of its writer."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        definitions: Definitions,
        schemas: Mapping[str, str],
        *,
        reporting_timezone: str,
    ) -> None:
        """:param schemas: the schema of the build to be shown, by projection."""
        self._connection = connection
        self._definitions = definitions
        self._schemas = schemas
        self._reporting_timezone = "'" + reporting_timezone.replace("'", "''") + "'"

    def write(self) -> list[BrokenSqlFile]:
        """Write all; files of a user's whose view does not work are returned, and show what they did if they can."""
        projections = self._definitions.projections
        kept = {_CHECKPOINTS, *projections, *self._definitions.views, *self._definitions.refused_names}
        # Of a changed file the view is of the tables to come: until they serve, it shows what it did.
        made = [file for name, file in projections.items() if name in self._schemas]
        shown = [load_sql(_CHECKPOINTS), *made, *self._definitions.views.values()]
        with transaction(self._connection):
            for name in self._read():
                if name not in kept:
                    self.remove(name)
            for file in shown:
                if file.is_shipped:
                    self.put(file)
        waiting = [file for file in shown if not file.is_shipped]
        refused: list[BrokenSqlFile] = []
        is_getting_on = bool(waiting)
        while is_getting_on:
            # A view may stand on one that comes later by name.
            refused = [refusal for file in waiting if (refusal := self._try(file))]
            paths = {refusal.path for refusal in refused}
            waiting, before = [file for file in waiting if file.path in paths], len(waiting)
            is_getting_on = 0 < len(waiting) < before
        self._remove_dangling({file.name for file in shown} - {file.name for file in waiting})
        self._put_in_order()
        return refused

    def _put_in_order(self) -> None:
        """Let each view come after those that it stands on, whatever the order in which they were written last."""
        rows = self._connection.execute("SELECT name, statement FROM base.views ORDER BY place").fetchall()
        statements: dict[str, str] = dict(rows)
        names = list(TopologicalSorter(make_catalog({}, statements)["uses"]).static_order())
        if names == list(statements):
            return
        with transaction(self._connection) as writer:
            writer.execute("DELETE FROM base.views")
            ordered = [[place, name, statements[name]] for place, name in enumerate(names, 1)]
            writer.executemany("INSERT INTO base.views VALUES (?, ?, ?)", ordered)

    def remove(self, name: str) -> None:
        """Let a view be gone."""
        self._connection.execute(f'DROP VIEW IF EXISTS main."{name}"')
        self._connection.execute("DELETE FROM base.views WHERE name = ?", [name])

    def put(self, file: SqlFile) -> None:
        """Let a file's view show what it says now.

        :raises BrokenSqlFile: the engine refuses it.
        """
        if not file.is_shipped:
            self.try_out(file)
        view = _view_of(file)
        try:
            statement = self._qualify(self._text(view), file.name)
            self._connection.execute(f'CREATE OR REPLACE VIEW main."{file.name}" AS {statement}')
        except duckdb.Error as error:
            raise broken_by(error, view, file.path) from error
        self._connection.execute("DELETE FROM base.views WHERE name = ?", [file.name])
        self._connection.execute(
            "INSERT INTO base.views SELECT coalesce(max(place), 0) + 1, ?, ? FROM base.views", [file.name, statement]
        )

    def _remove_dangling(self, written: set[str]) -> None:
        """Let what showed something else be gone, where that is gone."""
        for name in set(self._read()) - written:
            try:
                self._connection.execute(f'DESCRIBE FROM main."{name}"')
            except duckdb.Error:
                with transaction(self._connection):
                    self.remove(name)

    def _try(self, file: SqlFile) -> BrokenSqlFile | None:
        try:
            with transaction(self._connection):
                self.put(file)
        except BrokenSqlFile as refusal:
            return refusal
        return None

    def _read(self) -> list[str]:
        return [name for (name,) in self._connection.execute("SELECT name FROM base.views").fetchall()]

    def try_out(self, file: SqlFile) -> None:
        """Bind a view's statement as it stands in its file, so that the engine's message is about that.

        :raises BrokenSqlFile: the engine refuses it.
        """
        view, schema = _view_of(file), self._schemas.get(file.name)
        self._connection.execute(f"SET search_path = '{schema},main'" if schema else "SET schema = main")
        try:
            # Described, it is bound and not run.
            self._connection.execute(f"DESCRIBE {self._text(view)}")
        except duckdb.Error as error:
            raise broken_by(error, view, file.path) from error
        self._connection.execute("SET schema = main")

    def _text(self, view: Section) -> str:
        return view.text.rstrip().removesuffix(";").replace("{reporting_timezone}", self._reporting_timezone)

    def _qualify(self, select: str, projection: str) -> str:
        schema = self._schemas.get(projection)
        if schema is None:
            return select
        own = self._connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = ?", [schema])
        names = {name.lower() for (name,) in own.fetchall()}
        row = self._connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [select]).fetchone()
        tree = orjson.loads(row[0]) if row else {}
        if tree.get("error"):
            raise duckdb.ParserException(f"A view is one SELECT: {tree.get('error_message')}")
        _put_schema(tree, names, schema)
        row = self._connection.execute("SELECT json_deserialize_sql(?::JSON)", [orjson.dumps(tree).decode()]).fetchone()
        return str(row[0]) if row else select


def _view_of(file: SqlFile) -> Section:
    """A file's view; by default it shows the table that is called as the projection."""
    return file.sections.get("view") or Section(text=f'FROM "{file.name}"', line=1)


def _put_schema(tree: Any, names: set[str], schema: str) -> None:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("type") == "BASE_TABLE" and not node["schema_name"] and node["table_name"].lower() in names:
                node["schema_name"] = schema
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
