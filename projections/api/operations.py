"""The table of what the private port answers: every route, its parameters, and the answers that a caller has to expect.

`GET /openapi.json` and `/docs` are made from it. Tests hold that no route of the application is missing here, and that
each answer named here is one that a real request gets, in the shape that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from projections.api.schemas import ref
from projections.api.sessions import MAX_LIMIT

JSON: Final = "application/json"
Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A parameter of a route. A name that ends in `*` stands for many."""

    name: str
    where: Literal["path", "query", "header"]
    meaning: str
    schema: Schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One of a route's answers; without a schema it is not JSON, or anything."""

    status: int
    meaning: str
    media_types: tuple[str, ...] = (JSON,)
    schema: Schema | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One method of one path."""

    path: str
    summary: str
    answers: tuple[Answer, ...]
    method: Literal["GET", "POST"] = "GET"
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    needs_token: bool = True


def _text(name: str, meaning: str, *, where: Literal["path", "query", "header"] = "query") -> Parameter:
    return Parameter(name=name, where=where, meaning=meaning, schema={"type": "string"})


def _refusal(status: int, meaning: str) -> Answer:
    return Answer(status=status, meaning=meaning, schema=ref("Error"))


_RANGE: Final = _text("Range", "A part of the file: `bytes=0-1023`.", where="header")
_SESSION_ID: Final = _text("session_id", "The session's id.", where="path")
_NO_SESSION: Final = _refusal(404, "`no_session`: nothing is known of it.")
_BODY_REFUSALS: Final = (
    _refusal(413, "`request_too_large`"),
    _refusal(415, "`json_needed`: the Content-Type must be application/json."),
)

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        path="/v1/sessions",
        summary="Find sessions, the latest first. What is given holds of all of them.",
        parameters=(
            _text("metadata.*", "The value of a key of your metadata, as text: `metadata.crm_id=A-991`."),
            _text("from_number", "The caller's number. Write its + as %2B."),
            _text("to_number", "The agent's number."),
            _text("conversation_id", "The conversation."),
            _text("agent_id", "The voice agent."),
            _text("since", "A day or a time: sessions that began then or later. UTC unless it says otherwise."),
            Parameter(
                name="limit",
                where="query",
                meaning="Sessions of one page.",
                schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 20},
            ),
            _text("cursor", "`next_cursor` of the page before. Sessions that come in meanwhile move none."),
        ),
        answers=(
            Answer(status=200, meaning="A page of sessions in short.", schema=ref("SessionPage")),
            _refusal(400, "`malformed_request`: a parameter that there is not, twice, or with a value that cannot be."),
        ),
    ),
    Operation(
        path="/v1/sessions/{session_id}",
        summary="One session with its transcript, recording, current insights, and what is still awaited.",
        parameters=(_SESSION_ID,),
        answers=(Answer(status=200, meaning="The session.", schema=ref("Session")), _NO_SESSION),
    ),
    Operation(
        path="/v1/sessions/{session_id}/recording",
        summary="A session's recording.",
        parameters=(_SESSION_ID, _RANGE),
        answers=(
            Answer(status=200, meaning="The file.", media_types=("audio/wav",)),
            Answer(status=206, meaning="The part that was asked for.", media_types=("audio/wav",)),
            _refusal(
                404,
                "`no_session`, `no_recording` (with the reason), `recording_missing` (its file is gone), or "
                "`recording_elsewhere` (with its URI).",
            ),
            _refusal(416, "`wrong_range`: the file does not have it."),
        ),
    ),
    Operation(
        path="/v1/sql",
        method="POST",
        summary="Run one statement that reads, in DuckDB's SQL, in a process of its own and under limits.",
        body=ref("SqlRequest"),
        answers=(
            Answer(
                status=200,
                meaning="Rows, in the format asked for. `Postcall-Row-Count` and `Postcall-Truncated` tell how many, "
                "and whether more were cut off.",
                media_types=(
                    JSON,
                    "text/csv",
                    "application/vnd.apache.arrow.stream",
                    "application/vnd.apache.parquet",
                ),
                schema=ref("SqlRows"),
            ),
            _refusal(400, "`sql_failed`, `sql_refused`, `sql_out_of_memory`, `malformed_request`"),
            *_BODY_REFUSALS,
            _refusal(504, "`sql_deadline_exceeded`"),
        ),
    ),
    Operation(
        path="/v1/schema",
        summary="The tables that SQL may name: their columns, types, and what they mean.",
        answers=(Answer(status=200, meaning="All of them.", schema=ref("WarehouseSchema")),),
    ),
    Operation(
        path="/v1/copy",
        summary="The copy of the warehouse for notebooks and BI tools: one DuckDB file.",
        parameters=(_RANGE, _text("If-None-Match", "The ETag of a copy that is there already.", where="header")),
        answers=(
            Answer(status=200, meaning="The file.", media_types=("application/octet-stream",)),
            Answer(status=206, meaning="The part that was asked for.", media_types=("application/octet-stream",)),
            Answer(status=304, meaning="It has not changed.", media_types=()),
            _refusal(404, "`no_copy`: there is none yet."),
            _refusal(416, "`wrong_range`: the file does not have it."),
        ),
    ),
    Operation(
        path="/v1/copy",
        method="POST",
        summary="Make the copy now.",
        answers=(Answer(status=200, meaning="It is there.", schema=ref("Copy")),),
    ),
    Operation(
        path="/v1/replays/projections",
        method="POST",
        summary="Make all tables, or one projection, again from the log while the old ones serve; then switch.",
        body=ref("ReplayRequest"),
        answers=(
            Answer(
                status=200,
                meaning="A line of JSON every moment; the last has `is_done`, or `error`.",
                media_types=("application/x-ndjson",),
            ),
            _refusal(400, "`malformed_request`"),
            *_BODY_REFUSALS,
        ),
    ),
    Operation(
        path="/healthz",
        summary="The process lives.",
        needs_token=False,
        answers=(Answer(status=200, meaning="It does.", schema=ref("Health")),),
    ),
    Operation(
        path="/readyz",
        summary="SQL is answered from a warehouse that keeps step with the log.",
        needs_token=False,
        answers=(
            Answer(status=200, meaning="It is.", schema=ref("Readiness")),
            Answer(status=503, meaning="Not now; `reason` says what a person has to see to.", schema=ref("Readiness")),
        ),
    ),
    Operation(
        path="/openapi.json",
        summary="This description, for programs.",
        answers=(Answer(status=200, meaning="OpenAPI 3.1.", schema={"required": ["openapi", "paths"]}),),
    ),
    Operation(
        path="/docs",
        summary="This description, for people.",
        answers=(Answer(status=200, meaning="A page.", media_types=("text/html",)),),
    ),
    Operation(
        path="/docs.css",
        summary="How that page looks.",
        answers=(Answer(status=200, meaning="A style sheet.", media_types=("text/css",)),),
    ),
)
