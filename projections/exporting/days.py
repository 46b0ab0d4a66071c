"""The day that a row belongs to: its session's, in the reporting time zone; of rows without a session their own.

A table that has a column `day` already is cut by that. One that has no time at all is not cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from projections.copying.contents import quoted

DAY: Final = "day"
_TIME: Final = "TIMESTAMP WITH TIME ZONE"
#: Of a table's times, those that say when what it tells of began; in this order.
_OWN_TIMES: Final = (
    "started_at",
    "occurred_at",
    "received_at",
    "first_seen_at",
    "stored_at",
    "produced_at",
    "ended_at",
)
_SESSION: Final = "session_id"


def select_with_day(name: str, columns: Mapping[str, str], *, timezone: str, has_sessions: bool) -> str | None:
    """A SELECT of a table's rows with their day; None where they have none.

    :param has_sessions: whether there is a table `sessions` to look the session's day up in.
    """
    if DAY in columns:
        return f"SELECT * FROM {quoted(name)}" if columns[DAY] == "DATE" else None  # noqa: S608 - a name of the catalog, quoted
    own = [f"t.{column}" for column in _OWN_TIMES if columns.get(column) == _TIME]
    is_of_session = _SESSION in columns and has_sessions and name != "sessions"
    times = [*(["began.at"] if is_of_session else []), *own]
    if not times:
        return None
    literal = "'" + timezone.replace("'", "''") + "'"
    day = f"CAST(timezone({literal}, coalesce({', '.join(times)})) AS DATE) AS {DAY}"
    return f"SELECT t.*, {day} FROM {quoted(name)} AS t{_SESSION_DAYS if is_of_session else ''}"  # noqa: S608 - as above


_SESSION_DAYS: Final = (
    " LEFT JOIN (SELECT session_id, coalesce(started_at, first_seen_at) AS at FROM sessions) AS began"
    " ON began.session_id = t.session_id"
)
