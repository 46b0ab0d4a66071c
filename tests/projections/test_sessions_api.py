"""`/v1/sessions`: one session as one document, finding sessions, and recordings, over real HTTP."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest

from postcall.events import RecordingUnavailable, SessionEnded, SessionStarted, Turn, input_hash
from postcall.http_server import serve_http
from postcall.outcomes import AnalysisFailed, RecordingStored
from postcall.requests import AnalyzeSession
from postcall.service import address_of
from projections.api.application import build_application
from projections.api.guard import Guard
from projections.api.sessions import SessionsApi
from projections.warehouse import Warehouse
from tests.projections.calls import FIRST_CALL_AT, make_records
from tests.projections.logbook import Said, apply_records, number_records

HOUR = timedelta(hours=1)
AUDIO = b"RIFF" + bytes(range(256)) * 4
_OFFSETS = itertools.count(1_000, 1_000)


def apply_said(warehouse: Warehouse, said: Iterable[Said]) -> None:
    """Apply messages as one batch, behind all that were applied before."""
    begin = next(_OFFSETS)
    records = number_records([each.to_record() for each in said])
    apply_records(warehouse, [replace(record, offset=begin + record.offset) for record in records])


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    """Twelve calls of one agent, two to a conversation; tests add sessions of their own that have other agents."""
    warehouse = Warehouse(":memory:")
    apply_records(warehouse, number_records(make_records(range(12))))
    yield warehouse
    warehouse.close()


@pytest.fixture
async def client(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the routes, served from that warehouse."""
    api = SessionsApi(find_warehouse=lambda: warehouse, data_dir=tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    application = build_application([api], Guard(host="127.0.0.1", token=None))
    address = f"http://{address_of(listener)}"
    async with serve_http(application, listener, drain_s=3), httpx.AsyncClient(base_url=address) as client:
        yield client


async def find(client: httpx.AsyncClient, **parameters: Any) -> list[str]:
    """The ids of a lookup's first page."""
    response = await client.get("/v1/sessions", params=parameters)
    assert response.status_code == 200, response.text
    return [session["session_id"] for session in response.json()["sessions"]]


async def test_a_session_is_one_document(client: httpx.AsyncClient) -> None:
    document = (await client.get("/v1/sessions/session-000001")).json()
    session = document["session"]
    assert session["started_at"] == "2026-02-03T09:07:00Z"
    assert session["metadata"] == {"tenant": "acme", "crm_id": "A-1"}
    assert [turn["seq"] for turn in document["transcript"]] == [1, 2, 3, 4, 5, 6]
    assert document["transcript"][1]["role"] == "user"
    assert document["conversation"] == {
        "conversation_id": "conversation-000000", "session_number": 2, "is_last": True, "session_count": 2
    }  # fmt: skip
    assert document["recording"]["link"] == "/v1/sessions/session-000001/recording"
    assert document["recording"]["sha256"] == "ab" * 32
    insight = document["insights"]["summary"]
    assert (insight["revision"], insight["is_stale"], insight["result"]["intent"]) == (1, False, "book a repair")
    assert insight["cost_usd"] == 0.0012
    assert document["states"] == {
        "session": "ended",
        "recording": "stored",
        "analyses": {"summary": {"revision": 1, "state": "done", "reason": None}},
        "is_settled": True,
    }


async def test_every_request_of_the_page_is_answered_with_what_it_says(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "session-000001.wav").write_bytes(AUDIO)
    requests = re.findall(r"^GET (\S+)$", page, re.MULTILINE)
    assert len(requests) == 6
    for path in requests:
        response = await client.get(path)
        assert response.status_code == 200, path
        assert "?" not in path or response.json()["sessions"], path
    document = (await client.get(requests[0])).json()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(document)


async def test_what_is_awaited_is_told(client: httpx.AsyncClient, warehouse: Warehouse) -> None:
    turns = (Turn(role="user", text="Hello?"),)
    ended = SessionEnded(
        session_id="short",
        ended_at=FIRST_CALL_AT,
        recording_expected=True,
        transcript=turns,
        input_hash=input_hash(turns),
    )
    apply_said(warehouse, [Said(SessionStarted(session_id="short"), FIRST_CALL_AT)])

    async def read_states() -> dict[str, Any]:
        states: dict[str, Any] = (await client.get("/v1/sessions/short")).json()["states"]
        return states | {"analyses": {name: each["state"] for name, each in states["analyses"].items()}}

    open_states = {"session": "open", "recording": "unknown", "analyses": {"summary": "not_due"}, "is_settled": False}
    assert await read_states() == open_states
    apply_said(warehouse, [Said(ended, FIRST_CALL_AT)])
    awaiting = {"session": "ended", "recording": "awaited", "analyses": {"summary": "awaited"}, "is_settled": False}
    assert await read_states() == awaiting
    apply_said(warehouse, [Said(RecordingUnavailable(session_id="short", reason="Switched off."), FIRST_CALL_AT)])
    apply_said(warehouse, [Said(fail_analysis(ended), FIRST_CALL_AT)])
    settled = {"session": "ended", "recording": "unavailable", "analyses": {"summary": "failed"}, "is_settled": True}
    assert await read_states() == settled
    document = (await client.get("/v1/sessions/short")).json()
    assert document["states"]["analyses"]["summary"]["reason"] == "refusal"
    assert document["insights"] == {}
    assert document["conversation"]["session_number"] == 1


def fail_analysis(ended: SessionEnded) -> AnalysisFailed:
    """The analysis of a session that the model refused."""
    request = AnalyzeSession(
        session_id=ended.session_id, analyzer="summary", revision=1, input="", input_hash=ended.input_hash
    )
    return AnalysisFailed(
        session_id=ended.session_id,
        request_id=request.request_id,
        attempt=1,
        analyzer="summary",
        revision=1,
        input_hash=ended.input_hash,
        trigger="live",
        produced_at=FIRST_CALL_AT,
        reason="refusal",
    )


async def test_an_id_may_have_any_character(client: httpx.AsyncClient, warehouse: Warehouse) -> None:
    ids = ["a/b c?#%", "recording", "' OR 1=1 --", "ünï"]
    apply_said(warehouse, [Said(SessionStarted(session_id=session_id), FIRST_CALL_AT) for session_id in ids])
    for session_id in ids:
        found = await client.get(f"/v1/sessions/{quote(session_id, safe='')}")
        assert found.json()["session"]["session_id"] == session_id


LOOKUPS: list[tuple[dict[str, Any], list[int]]] = [
    ({"metadata.crm_id": "A-7"}, [7]),
    ({"metadata.crm_id": "A-7", "metadata.tenant": "acme"}, [7]),
    ({"metadata.crm_id": "A-7", "metadata.tenant": "other"}, []),
    ({"metadata.crm_id": "A-%"}, []),
    ({"metadata.*": "A-7"}, []),
    ({"conversation_id": "conversation-000002"}, [5, 4]),
    ({"from_number": "+442079460001", "limit": 2}, [11, 10]),
    ({"to_number": "+442079460001"}, []),
    ({"agent_id": "agent-1", "since": "2026-02-03T10:10:00Z"}, [11, 10]),
    ({"agent_id": "agent-1", "since": "2026-02-03T11:10:00+01:00"}, [11, 10]),
    ({"agent_id": "agent-1", "since": "2026-02-04"}, []),
    ({"conversation_id": "' OR true --"}, []),
]


async def test_sessions_are_found_by_all_that_is_given(client: httpx.AsyncClient) -> None:
    for parameters, numbers in LOOKUPS:
        assert await find(client, **parameters) == [f"session-{number:06}" for number in numbers], parameters


async def test_a_key_of_the_metadata_is_nothing_but_a_key(client: httpx.AsyncClient, warehouse: Warehouse) -> None:
    keys = ["a.b", 'q"t', "s/l~", "*", "", "0", "$", "ü[0]", "'"]
    apply_said(
        warehouse,
        [
            Said(SessionStarted(session_id=f"key {key}", metadata={key: "x"} | {"a": {"b": "x"}}), FIRST_CALL_AT)
            for key in keys
        ],
    )
    for key in keys:
        assert await find(client, **{f"metadata.{key}": "x"}) == [f"key {key}"]


async def test_values_of_metadata_are_compared_as_text(client: httpx.AsyncClient, warehouse: Warehouse) -> None:
    metadata = {"order": 42, "is_test": True, "nothing": None}
    apply_said(warehouse, [Said(SessionStarted(session_id="typed", metadata=metadata), FIRST_CALL_AT)])
    assert await find(client, **{"metadata.order": "42", "metadata.is_test": "true"}) == ["typed"]
    assert await find(client, **{"metadata.nothing": "null"}) == []


async def test_pages_hold_every_session_once_while_others_come_in(
    client: httpx.AsyncClient, warehouse: Warehouse
) -> None:
    def start(name: str, at: datetime) -> Said:
        return Said(SessionStarted(session_id=f"paged-{name}", agent_id="paged"), at)

    # Two and two began at the same moment.
    apply_said(warehouse, [start(str(number), FIRST_CALL_AT + number // 2 * HOUR) for number in range(7)])
    seen: list[str] = []
    parameters = {"agent_id": "paged", "limit": "2"}
    for arrival in range(3):
        page = (await client.get("/v1/sessions", params=parameters)).json()
        seen += [session["session_id"].removeprefix("paged-") for session in page["sessions"]]
        parameters["cursor"] = page["next_cursor"]
        # One that is newer than all, and one that is older.
        apply_said(warehouse, [start(f"new-{arrival}", FIRST_CALL_AT + 10 * HOUR)])
        apply_said(warehouse, [start(f"old-{arrival}", FIRST_CALL_AT - HOUR)])
    page = (await client.get("/v1/sessions", params=parameters | {"limit": "9"})).json()
    seen += [session["session_id"].removeprefix("paged-") for session in page["sessions"]]
    assert seen == ["6", "5", "4", "3", "2", "1", "0", "old-2", "old-1", "old-0"]
    assert page["next_cursor"] is None


async def test_a_last_page_has_no_cursor(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/sessions", params={"agent_id": "agent-1", "limit": "12"})).json()
    assert len(page["sessions"]) == 12
    assert page["next_cursor"] is None
    assert page["sessions"][0]["link"] == "/v1/sessions/session-000011"


async def test_a_parameter_that_cannot_be_is_refused(client: httpx.AsyncClient) -> None:
    for query in (
        "limit=0",
        "limit=101",
        "limit=%C2%B2",
        f"limit={'9' * 5000}",
        "since=yesterday",
        "since=0001-01-01T00:00:00%2B14:00",
        "cursor=!",
        "cursor=WzEsMl0",
        "cursor=bnVsbA",
        "crm_id=A-7",
        "agent_id=a&agent_id=b",
    ):
        response = await client.get(f"/v1/sessions?{query}")
        assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed_request"), query


async def test_a_session_that_nobody_knows_is_not_found(client: httpx.AsyncClient) -> None:
    for path in ("/v1/sessions/nobody", "/v1/sessions/", "/v1/sessions/nobody/recording"):
        response = await client.get(path)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "no_session")


async def test_a_recording_is_sent_whole_and_in_ranges(client: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "session-000001.wav").write_bytes(AUDIO)
    path = "/v1/sessions/session-000001/recording"
    whole = await client.get(path)
    assert (whole.status_code, whole.headers["content-type"], whole.content) == (200, "audio/wav", AUDIO)
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = await client.get(path, headers={"range": "bytes=4-13"})
    assert (part.status_code, part.content) == (206, AUDIO[4:14])
    for wrong in ("bytes=5000-", "bytes=x", "lines=1-2"):
        refused = await client.get(path, headers={"range": wrong})
        assert (refused.status_code, refused.json()["error"]["code"]) == (416, "wrong_range")


async def test_a_recording_that_is_not_here_says_why(
    client: httpx.AsyncClient, warehouse: Warehouse, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.wav"
    outside.write_bytes(AUDIO)
    store_recording(warehouse, "elsewhere", "s3://bucket/elsewhere.wav")
    store_recording(warehouse, "hostile", "recordings/../secret.wav")
    codes = {}
    for session_id in ("session-000001", "session-000005", "elsewhere", "hostile"):
        response = await client.get(f"/v1/sessions/{session_id}/recording")
        assert response.status_code == 404
        codes[session_id] = response.json()["error"]["code"]
    assert codes == {
        "session-000001": "recording_missing",
        "session-000005": "no_recording",
        "elsewhere": "recording_elsewhere",
        "hostile": "recording_missing",
    }
    document = (await client.get("/v1/sessions/elsewhere")).json()
    assert document["recording"]["link"] == "s3://bucket/elsewhere.wav"


def store_recording(warehouse: Warehouse, session_id: str, uri: str) -> None:
    """A session whose recording is said to be at `uri`."""
    stored = RecordingStored(
        session_id=session_id,
        request_id=UUID(int=1),
        attempt=1,
        uri=uri,
        bytes=len(AUDIO),
        sha256="ab" * 32,
        stored_at=datetime(2026, 2, 3, tzinfo=UTC),
    )
    apply_said(warehouse, [Said(SessionStarted(session_id=session_id), FIRST_CALL_AT), Said(stored, FIRST_CALL_AT)])
