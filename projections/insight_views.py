"""The view `insight_<analyzer>` of an analyzer, made from the JSON Schema of its results: one typed column per field.

An analyzer's schema is data, so its view is written, not programmed; the shipped views are what this writes. For a
schema on stdin: `python -m projections.insight_views ANALYZER < SCHEMA.json > insight_ANALYZER.sql`.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, Final

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,54}")
#: Columns of every such view, around those of the result.
_BEFORE: Final = ("session_id", "revision")
_AFTER: Final = ("model", "occurred_at", "produced_at", "cost_usd", "is_stale")
_TYPES: Final = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}
_LINE: Final = 120

Schema = Mapping[str, Any]


def write_insight_view(analyzer: str, schema: Schema) -> str:
    """The SQL file of an analyzer's view.

    A field that has the name of one of the view's own columns becomes `result_NAME`. What has no type here stays JSON.

    :raises ValueError: the analyzer's name, or its schema, cannot be made into a view.
    """
    fields: Mapping[str, Schema] = schema.get("properties", {})
    columns = _name_columns(analyzer, fields)
    words = [(column, _describe(fields[field])) for field, column in columns.items()]
    types = ",".join(f"\n            {json.dumps(field)}: {json.dumps(_type(each))}" for field, each in fields.items())
    structure = f"{{{types}\n        }}"
    answers = [f"answer.{_quote(field)} AS {_quote(column)}" for field, column in columns.items()]
    shown = ",\n    ".join((", ".join(_BEFORE), *answers, ", ".join(_AFTER)))
    return (
        f"-- insight_{analyzer}: the current results of the analyzer `{analyzer}`, with typed columns.\n"
        f"-- over: current_insights\n--\n-- columns:\n{_write_words(words)}\n\n"
        f"-- name: view\nSELECT\n    {shown}\n"
        f"FROM (\n    SELECT\n        *,\n        from_json(result, {_literal(structure)}) AS answer\n"
        f"    FROM current_insights\n    WHERE analyzer = {_literal(analyzer)}\n);\n"
    )


def _name_columns(analyzer: str, fields: Mapping[str, Schema]) -> dict[str, str]:
    if not _NAME.fullmatch(analyzer):
        raise ValueError(f"An analyzer's name is lower-case letters, digits and _: not {analyzer!r}.")
    taken = {*_BEFORE, *_AFTER}
    columns = {field: f"result_{field}" if field.lower() in taken else field for field in fields}
    if not columns:
        raise ValueError(f"The schema of {analyzer} names no field.")
    if strange := [field for field in columns if not field or not field.isprintable()]:
        raise ValueError(f"The schema of {analyzer} has a field that cannot be a column: {strange[0]!r}.")
    if len({column.lower() for column in columns.values()}) < len(columns):
        raise ValueError(f"The schema of {analyzer} has fields that differ in case only.")
    return columns


def _type(schema: Schema) -> Any:
    """The type of a field, as `from_json` takes it."""
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if len(kinds) != 1:
        return "JSON"
    kind = kinds[0].get("type")
    if isinstance(kind, list):
        kind = next(iter(set(kind) - {"null"})) if len(set(kind) - {"null"}) == 1 else None
    if kind == "array":
        return [_type(kinds[0].get("items", {}))]
    return _TYPES.get(str(kind), "JSON")


def _describe(schema: Schema) -> str:
    text = " ".join(str(schema.get("description", "as the analyzer says")).split()).rstrip(".")
    text = text[:1].lower() + text[1:]
    values = [f"`{value}`" for value in schema.get("enum", ())]
    return f"{text}: {', '.join(values)}" if values else text


def _write_words(words: list[tuple[str, str]]) -> str:
    width = max(len(column) for column, _ in words)
    return "\n".join(
        textwrap.fill(
            text,
            _LINE,
            initial_indent=f"--   {column:<{width}}  ",
            subsequent_indent=f"--   {'':<{width}}  ",
            break_on_hyphens=False,
        )
        for column, text in words
    )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    sys.stdout.write(write_insight_view(sys.argv[1], json.load(sys.stdin)))
