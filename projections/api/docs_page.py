"""The page `/docs`: the table of operations as HTML, complete as sent, without scripts or anything from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from projections.api.operations import Answer, Operation

STYLE: Final = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 0.875rem/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
section { margin-top: 2.5rem; }
h2 { font-size: 1.125rem; margin-bottom: 0.25rem; }
h2 code { font-size: inherit; }
table { border-collapse: collapse; width: 100%; margin: 0.75rem 0; }
caption { text-align: left; font-weight: 600; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0; }
td + td { border-top: 0; }
tr + tr > * { border-top: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
"""


def write_docs_page(
    title: str, description: str, operations: Iterable[Operation], schemas: Mapping[str, Mapping[str, Any]]
) -> str:
    """The whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/docs.css"></head><body><main>'
        f"<h1>{escape(title)}</h1><p>{escape(description)}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f"{''.join(_write_operation(each) for each in operations)}"
        f"<section><h2>Shapes</h2>{''.join(_write_schema(name, each) for name, each in schemas.items())}</section>"
        "</main></body></html>"
    )


def _write_operation(operation: Operation) -> str:
    takes = f"<p>Takes {_link(operation.body)} as JSON.</p>" if operation.body is not None else ""
    parameters = ((_code(each.name), each.where, _prose(each.meaning)) for each in operation.parameters)
    answers = ((_code(str(each.status)), _prose(each.meaning), _write_kinds(each)) for each in operation.answers)
    return (
        f"<section><h2><code>{operation.method} {escape(operation.path)}</code></h2>"
        f"<p>{escape(operation.summary)}</p>{takes}"
        f"{_write_table('Parameters', parameters)}{_write_table('Answers', answers)}</section>"
    )


def _write_table(caption: str, rows: Iterable[tuple[str, ...]]) -> str:
    """A table of cells that are HTML already; nothing where there are none."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{caption}</caption><tbody>{body}</tbody></table>" if body else ""


def _write_kinds(answer: Answer) -> str:
    kinds = ", ".join(_code(kind) for kind in answer.media_types)
    return f"{kinds} {_link(answer.schema)}" if answer.schema is not None and "$ref" in answer.schema else kinds


def _write_schema(name: str, schema: Mapping[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary><pre>{text}</pre></details>'


def _link(schema: Mapping[str, Any] | None) -> str:
    name = str((schema or {}).get("$ref", "")).rpartition("/")[2]
    return f'<a href="#{escape(name)}">{escape(name)}</a>'


def _prose(text: str) -> str:
    """Text in which what stands between backticks is code."""
    parts = text.split("`")
    return "".join(_code(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
