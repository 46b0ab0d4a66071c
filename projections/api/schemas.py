"""The shapes of what the private port takes and answers, as JSON Schemas; columns are described in the words of their
tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from projections.api.replays import ReplayRequest
from projections.api.sql import SqlRequest
from projections.documentation import describe_tables

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}
_INSTANCE: Final[Schema] = {"type": ["string", "null"], "description": "tells this pipeline from another on its port"}
_ANALYSIS_STATES: Final = ("done", "empty", "failed", "skipped", "awaited", "not_due")
_RECORDING_STATES: Final = ("stored", "failed", "unavailable", "awaited", "not_expected", "unknown")
#: Columns whose type their name does not tell.
_TYPES: Final[Mapping[str, Schema]] = {
    "session_id": {"type": "string"},
    "metadata": {"type": "object"},
    "extensions": {"type": "object"},
    "result": {"type": ["object", "null"]},
    "recording_expected": {"type": ["boolean", "null"]},
    "is_stale": {"type": "boolean"},
    "cost_usd": {"type": ["number", "null"]},
    "seq": {"type": "integer", "minimum": 1},
    "turn_count": {"type": ["integer", "null"]},
    "revision": {"type": "integer"},
    "bytes": {"type": ["integer", "null"]},
    "sample_rate": {"type": ["integer", "null"]},
    "channels": {"type": ["integer", "null"]},
    "tokens_in": {"type": ["integer", "null"]},
    "tokens_out": {"type": ["integer", "null"]},
}
_SHORT_COLUMNS: Final = (
    "session_id", "source", "conversation_id", "agent_id", "started_at", "ended_at", "duration_ms", "from_number",
    "to_number", "turn_count", "metadata", "first_seen_at", "updated_at",
)  # fmt: skip
_INSIGHT_COLUMNS: Final = (
    "revision", "state", "result", "model", "occurred_at", "produced_at", "trigger", "tokens_in", "tokens_out",
    "cost_usd", "model_latency_ms", "is_stale",
)  # fmt: skip
_LINK: Final[Schema] = {"type": "string", "description": "where the whole session is"}


def ref(name: str) -> Schema:
    """A reference to one of the shapes."""
    return {"$ref": f"#/components/schemas/{name}"}


@cache
def all_schemas() -> Mapping[str, Schema]:
    """Every shape, by name."""
    return {
        "Error": _error(),
        "Session": _session(),
        "SessionPage": _session_page(),
        "SqlRequest": _of_model(SqlRequest),
        "SqlRows": _sql_rows(),
        "Copy": _object(
            {
                "copied_at": {"type": "string", "format": "date-time"},
                "bytes": _COUNT,
                "seconds": {"type": "number", "minimum": 0},
                "left_out": {"type": "array", "items": _TEXT, "description": "tables that could not be copied"},
            }
        ),
        "WarehouseSchema": _warehouse_schema(),
        "ReplayRequest": _of_model(ReplayRequest),
        "Health": _object({"status": {"const": "ok"}, "instance": _INSTANCE}),
        "Readiness": _object(
            {"status": _TEXT, "unread": {"type": ["integer", "null"]}, "instance": _INSTANCE},
            optional={"reason": _TEXT},
        ),
    }


def _error() -> Schema:
    facts = _object(
        {"status": {"type": "integer"}, "code": _TEXT, "message": _TEXT},
        optional={"position": _COUNT | {"description": "in the statement, in characters"}},
    )
    return _object({"error": facts})


def _session() -> Schema:
    sessions, recordings = describe_tables()["sessions"].columns, describe_tables()["recordings"].columns
    recording = _columns("recordings", [name for name in recordings if name != "session_id"])
    link = _MAYBE_TEXT | {"description": "where the audio is to be had: a path of this port, or another store's URI"}
    recording["properties"]["link"] = link
    return _object(
        {
            "session": _columns("sessions", list(sessions)),
            "conversation": _object(
                {
                    "conversation_id": _MAYBE_TEXT,
                    "session_number": {"type": "integer", "minimum": 1},
                    "is_last": {"type": "boolean"},
                    "session_count": {"type": "integer", "minimum": 1},
                }
            ),
            "transcript": {
                "type": "array",
                "items": _columns("transcripts", ["seq", "role", "text", "spoken_at", "latency_ms"]),
            },
            "recording": {"anyOf": [recording | {"required": [*recording["required"], "link"]}, {"type": "null"}]},
            "insights": {
                "type": "object",
                "description": "the result of each analyzer to look at, by its name",
                "additionalProperties": _columns("current_insights", list(_INSIGHT_COLUMNS)),
            },
            "states": _states(),
        }
    )


def _states() -> Schema:
    analysis = _object(
        {"revision": {"type": ["integer", "null"]}, "state": {"enum": list(_ANALYSIS_STATES)}, "reason": _MAYBE_TEXT}
    )
    return _object(
        {
            "session": {"enum": ["open", "ended"]},
            "recording": {"enum": list(_RECORDING_STATES)},
            "analyses": {
                "type": "object",
                "description": "of the transcript as it is, by the analyzer's name",
                "additionalProperties": analysis,
            },
            "is_settled": {"type": "boolean", "description": "it has ended, and nothing is awaited"},
        }
    )


def _session_page() -> Schema:
    short = _columns("sessions", list(_SHORT_COLUMNS))
    short["properties"]["link"] = _LINK
    short["required"].append("link")
    return _object({"sessions": {"type": "array", "items": short}, "next_cursor": _MAYBE_TEXT})


def _sql_rows() -> Schema:
    return _object(
        {
            "columns": {"type": "array", "items": _object({"name": _TEXT, "type": _TEXT})},
            "rows": {"type": "array", "items": {"type": "object"}},
            "row_count": _COUNT,
            "is_truncated": {"type": "boolean"},
        }
    )


def _warehouse_schema() -> Schema:
    column = _object({"name": _TEXT, "type": _TEXT, "description": _MAYBE_TEXT})
    table = _object({"name": _TEXT, "description": _MAYBE_TEXT, "columns": {"type": "array", "items": column}})
    return _object({"tables": {"type": "array", "items": table}})


def _columns(table: str, names: list[str]) -> Schema:
    words = describe_tables()[table].columns
    return _object({name: _type(name) | {"description": words[name]} for name in names})


def _type(column: str) -> Schema:
    if column in _TYPES:
        return dict(_TYPES[column])
    if column.endswith("_ms"):
        return {"type": ["integer", "null"]}
    if column.endswith("_at"):
        return {"type": ["string", "null"], "format": "date-time"}
    return dict(_MAYBE_TEXT)


def _object(properties: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def _of_model(model: type[BaseModel]) -> Schema:
    schema = model.model_json_schema()
    # The class's docstring is for who reads the code.
    return {key: value for key, value in schema.items() if key not in {"title", "description"}}
