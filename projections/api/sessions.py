"""`/v1/sessions`: one session as one document for the customer's own product, finding sessions, and their recordings.

Answers are read beside the writer by fixed queries, in two threads of their own and under a deadline, so that no flood
of requests holds the projector up.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import duckdb
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections.api.answers import PRIVATE_HEADERS, RequestRefused
from projections.api.ranged_files import RangedFileResponse
from projections.api.recording_file import find_local_file
from projections.errors import QueriesBusy, QueryTimedOut, WarehouseReplaced
from projections.reading import WarehouseReader
from projections.session_documents import Lookup, Page, Place, Row, find_recording, find_sessions, read_session
from projections.time_limit import interrupted_after

T = TypeVar("T")

_DEADLINE_S: Final = 10.0
_THREADS: Final = 2
_DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
_METADATA: Final = "metadata."
#: The parameters of a lookup, those of metadata aside.
FILTERS: Final = ("conversation_id", "agent_id", "from_number", "to_number")
_PAGING: Final = ("since", "limit", "cursor")


class SessionsApi:
    """Sessions as documents.

    :param find_warehouse: gives the open warehouse; None for the moment in which there is none.
    :param data_dir: where the recordings' links begin.
    """

    def __init__(self, *, find_warehouse: Callable[[], WarehouseReader | None], data_dir: Path) -> None:
        self._find_warehouse = find_warehouse
        self._data_dir = data_dir
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="session-reader")

    def routes(self) -> list[Route]:
        """The routes of this family. An id may have any character, a slash too."""
        return [
            Route("/v1/sessions", self.find),
            Route("/v1/sessions/{session_id:path}/recording", self.send_recording),
            Route("/v1/sessions/{session_id:path}", self.tell),
        ]

    async def tell(self, request: Request) -> Response:
        """All that is known of a session."""
        session_id: str = request.path_params["session_id"]
        document = await self._read(lambda reader: read_session(reader, session_id))
        if document is None:
            raise _no_session()
        if document["recording"] is not None:
            document["recording"]["link"] = _recording_link(session_id, document["recording"])
        return _json(document)

    async def find(self, request: Request) -> Response:
        """Sessions that match, in short, the latest first."""
        parameters = _read_parameters(request)
        lookup, limit = _read_lookup(parameters), _read_limit(parameters)
        behind = _read_cursor(parameters["cursor"]) if "cursor" in parameters else None
        page = await self._read(lambda reader: find_sessions(reader, lookup, behind=behind, limit=limit))
        return _json(_tell_page(page))

    async def send_recording(self, request: Request) -> Response:
        """The recording's audio, or a part of it."""
        session_id: str = request.path_params["session_id"]
        recording = await self._read(lambda reader: find_recording(reader, session_id))
        if recording is None:
            raise _no_session()
        path = find_local_file(self._data_dir, recording)
        return RangedFileResponse(path, media_type="audio/wav", filename=path.name, headers=PRIVATE_HEADERS)

    async def _read(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read_snapshot, work)

    def _read_snapshot(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        try:
            return self._read_once(work)
        except WarehouseReplaced:
            # It was found before another one took its place, and closed before it was read.
            return self._read_once(work)

    def _read_once(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        warehouse = self._find_warehouse()
        if warehouse is None:
            raise QueriesBusy("The warehouse is being opened. Try again in a moment.")
        try:
            with warehouse.snapshot() as reader, interrupted_after(_DEADLINE_S, reader):
                return work(reader)
        except duckdb.InterruptException:
            raise QueryTimedOut(f"The answer took longer than {_DEADLINE_S:g} s. Narrow the question.") from None


def _read_parameters(request: Request) -> Mapping[str, str]:
    parameters: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in (*FILTERS, *_PAGING) and not name.startswith(_METADATA):
            raise _malformed(
                name, f"There is no such parameter; there are {', '.join((*FILTERS, *_PAGING))}, metadata.KEY."
            )
        if name in parameters:
            raise _malformed(name, "It is given twice.")
        parameters[name] = value
    return parameters


def _read_lookup(parameters: Mapping[str, str]) -> Lookup:
    since = parameters.get("since")
    return Lookup(
        **{name: parameters.get(name) for name in FILTERS},
        since=None if since is None else _read_since(since),
        metadata={
            name.removeprefix(_METADATA): value for name, value in parameters.items() if name.startswith(_METADATA)
        },
    )


def _read_since(text: str) -> datetime:
    """A day or a time; UTC where it does not say otherwise."""
    for candidate in (text, text.replace(" ", "+")):  # a + that was not escaped has become a blank
        with contextlib.suppress(ValueError, OverflowError):
            return _parse_time(candidate)
    raise _malformed("since", "It is no day and no time, such as 2026-02-03 or 2026-02-03T09:14:02Z.")


def _parse_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_limit(parameters: Mapping[str, str]) -> int:
    text = parameters.get("limit", str(_DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise _malformed("limit", f"It is a number from 1 to {MAX_LIMIT}.")
    return limit


def _write_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([place.at.isoformat(), place.session_id])).decode().rstrip("=")


def _read_cursor(text: str) -> Place:
    try:
        at, session_id = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return Place(at=_parse_time(at), session_id=str(session_id))
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise _malformed("cursor", "It is not one that a page before gave as next_cursor.") from None


def _tell_page(page: Page) -> Row:
    return {
        "sessions": [{**session, "link": _session_link(session["session_id"])} for session in page.sessions],
        "next_cursor": _write_cursor(page.next) if page.next else None,
    }


def _session_link(session_id: str) -> str:
    return f"/v1/sessions/{quote(session_id, safe='')}"


def _recording_link(session_id: str, recording: Row) -> str | None:
    """Where the audio is to be had: from here, or from the store that its URI names."""
    if recording["state"] != "stored":
        return None
    uri: str = recording["uri"]
    return uri if "://" in uri else f"{_session_link(session_id)}/recording"


def _json(value: Any) -> Response:
    body = orjson.dumps(value, option=orjson.OPT_UTC_Z)
    return Response(body, headers=PRIVATE_HEADERS, media_type="application/json")


def _no_session() -> RequestRefused:
    return RequestRefused(404, "no_session", "Nothing is known of a session with this id.")


def _malformed(name: str, reason: str) -> RequestRefused:
    return RequestRefused(400, "malformed_request", f"{name}: {reason}")
