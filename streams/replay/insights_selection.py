"""Which sessions an analyzer has given no result for. What wins of a session, and what is a result, the warehouse says.

The analyses that failed, or were skipped for the budget, are counted beside them: their requests have their outcome, so
the stage would not do them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from string import Template
from typing import Any, Final

#: Asks the warehouse for the rows of one statement.
Ask = Callable[[str], list[dict[str, Any]]]

_PAGE_ROWS: Final = 20_000
_STATEMENT: Final = Template("""
SELECT s.session_id, s.input_hash, i.state, coalesce(t.turns, 0) AS turns, coalesce(t.bytes, 0) AS bytes
FROM sessions AS s
LEFT JOIN insights AS i
    ON i.session_id = s.session_id AND i.input_hash = s.input_hash
    AND i.analyzer = $analyzer AND i.revision = $revision
LEFT JOIN (
    SELECT session_id, count(*) AS turns, sum(strlen(text)) AS bytes FROM transcripts GROUP BY session_id
) AS t ON t.session_id = s.session_id
WHERE s.input_hash IS NOT NULL
    AND (i.state IS NULL OR i.state = 'failed' OR (i.state = 'skipped' AND i.reason = 'budget'))
    AND s.session_id > $after
    $conditions
ORDER BY s.session_id
LIMIT $rows
""")
_CALL_TIME: Final = "coalesce(s.started_at, s.ended_at, s.first_seen_at)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What was asked for on the command line; the days are whole ones, the last included."""

    analyzer: str
    revision: int
    since: date | None = None
    until: date | None = None
    session_id: str | None = None

    def describe(self) -> dict[str, Any]:
        """As the decision of a run has it."""
        return {
            "analyzer": self.analyzer,
            "revision": self.revision,
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "session_id": self.session_id,
        }


@dataclass(kw_only=True, slots=True)
class Selected:
    """What was found."""

    #: Session id and input hash of each, in the order of the ids.
    work: list[tuple[str, str]] = field(default_factory=list)
    turns: int = 0
    #: What was said in them, in UTF-8.
    text_bytes: int = 0
    #: Analyses that have an outcome without a result.
    failed: int = 0
    over_budget: int = 0


def select_sessions(
    selection: Selection, ask: Ask, *, reporting_timezone: str, page_rows: int = _PAGE_ROWS
) -> Selected:
    """Ask the warehouse, page by page.

    :raises PostcallError: it cannot be asked.
    """
    found = Selected()
    after = ""
    while rows := ask(_page(selection, after, reporting_timezone, page_rows)):
        for row in rows:
            _note(found, row)
        after = rows[-1]["session_id"]
    return found


def _note(found: Selected, row: dict[str, Any]) -> None:
    match row["state"]:
        case "failed":
            found.failed += 1
        case "skipped":
            found.over_budget += 1
        case _:
            found.work.append((row["session_id"], row["input_hash"]))
            found.turns += int(row["turns"])
            found.text_bytes += int(row["bytes"])


def _page(selection: Selection, after: str, reporting_timezone: str, rows: int) -> str:
    return _STATEMENT.substitute(
        analyzer=_quote(selection.analyzer),
        revision=int(selection.revision),
        after=_quote(after),
        conditions=" ".join(f"AND {condition}" for condition in _conditions(selection, _quote(reporting_timezone))),
        rows=rows,
    )


def _conditions(selection: Selection, timezone: str) -> Iterator[str]:
    if selection.session_id is not None:
        yield f"s.session_id = {_quote(selection.session_id)}"
    if selection.since is not None:
        yield f"{_CALL_TIME} >= (TIMESTAMP {_quote(selection.since.isoformat())} AT TIME ZONE {timezone})"
    if selection.until is not None:
        end = f"TIMESTAMP {_quote(selection.until.isoformat())} + INTERVAL 1 DAY"
        yield f"{_CALL_TIME} < (({end}) AT TIME ZONE {timezone})"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
