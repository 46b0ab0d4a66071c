"""The private port over real HTTP: one error shape, who may ask, and what is answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from postcall.errors import UsageError
from postcall.service import address_of
from postcall.settings import Settings
from projections.api.guard import Guard
from projections.api.operations import OPERATIONS
from projections.server import serve
from projections.settings import QuerySettings, WarehouseSettings
from tests.projections.conftest import fill_log
from tests.waiting import eventually

NOWHERE = "127.0.0.1:1"
JSON = {"content-type": "application/json"}
POST = {"method": "POST", "url": "/v1/sql"}


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """The service in this process, a client of it, and whether it has said that it is ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping, ready = asyncio.Event(), asyncio.Event()
    service = asyncio.create_task(
        serve(
            settings,
            WarehouseSettings(projections_dir=settings.data_dir / "sql"),
            QuerySettings(sql_deadline_s=60.0),
            listener,
            on_ready=ready.set,
            on_held=lambda _: None,
            stopping=stopping,
        )
    )
    async with httpx.AsyncClient(base_url=f"http://{address_of(listener)}", timeout=60) as client:
        try:
            # Connections wait in the listener's queue until it is served.
            assert (await client.get("/healthz")).status_code == 200
            yield client, ready
        finally:
            stopping.set()
            await service


async def test_sql_is_answered_while_the_log_is_down(tmp_path: Path) -> None:
    async with serving(Settings(data_dir=tmp_path, kafka=NOWHERE)) as (client, ready):
        response = await client.post("/v1/sql", json={"sql": "SELECT count(*) AS n FROM sessions"})
        assert response.json() == {
            "columns": [{"name": "n", "type": "BIGINT"}],
            "rows": [{"n": 0}],
            "row_count": 1,
            "is_truncated": False,
        }
        assert response.headers["postcall-row-count"] == "1"
        assert (await client.get("/readyz")).status_code == 503
        assert not ready.is_set()


async def test_ready_once_the_log_is_read(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(3))
    async with serving(Settings(data_dir=tmp_path, kafka=log_address)) as (client, ready):
        await asyncio.wait_for(ready.wait(), 20)

        async def is_caught_up() -> bool:
            response = await client.get("/readyz")
            return response.status_code == 200 and response.json()["unread"] == 0

        await eventually(is_caught_up)


def sql(statement: str, **more: Any) -> dict[str, Any]:
    """A request with a statement."""
    return POST | {"json": {"sql": statement, **more}}


def raw(body: bytes) -> dict[str, Any]:
    """A request with a body that says it is JSON."""
    return POST | {"content": body, "headers": JSON}


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    (sql("SELEC 1"), 400, "sql_failed"),
    (sql("DROP TABLE x"), 400, "sql_refused"),
    (sql("SELECT repeat('x', 2000000000)"), 400, "sql_out_of_memory"),
    (sql("SELECT ?", parameters=[10**400]), 400, "sql_refused"),
    (sql("SELECT ?", parameters=[]), 400, "sql_failed"),
    (sql("SELECT INTERVAL 1 DAY", format="parquet"), 400, "sql_failed"),
    (sql("FROM calls", format="xml"), 400, "malformed_request"),
    (sql("FROM calls", max_rows=0), 400, "malformed_request"),
    (sql("FROM calls", deadline=9), 400, "malformed_request"),
    (POST | {"json": {}}, 400, "malformed_request"),
    (raw(b"{"), 400, "malformed_request"),
    (raw(b'{"sql": "\\ud800"}'), 400, "malformed_request"),
    (raw(b'{"sql": "SELECT 1", "parameters": ' + b"[" * 10_000), 400, "malformed_request"),
    (raw(b"[" * 2**21), 413, "request_too_large"),
    (POST | {"data": {"sql": "FROM calls"}}, 415, "json_needed"),
    ({"method": "GET", "url": "/v1/sql?sql=SELECT%201"}, 405, "wrong_method"),
    ({"method": "GET", "url": "/nowhere"}, 404, "not_found"),
    ({"method": "GET", "url": "/healthz", "headers": {"host": "evil.example"}}, 403, "wrong_host"),
    ({"method": "GET", "url": "/healthz", "headers": {"host": "127.0.0.1.evil.example:8001"}}, 403, "wrong_host"),
    *(({"method": "PATCH", "url": each.path}, 405, "wrong_method") for each in OPERATIONS),
]


async def test_every_refusal_on_every_route_has_one_shape(tmp_path: Path) -> None:
    async with serving(Settings(data_dir=tmp_path, kafka=NOWHERE)) as (client, _):
        for request, status, code in REFUSALS:
            response = await client.request(**request)
            error = response.json()["error"]
            assert (response.status_code, error["status"], error["code"]) == (status, status, code), request
            assert error["message"]
            assert set(error) <= {"status", "code", "message", "position"}
            assert response.headers["x-content-type-options"] == "nosniff"


async def test_without_the_token_every_route_but_the_open_ones_refuses(tmp_path: Path) -> None:
    async with serving(Settings(data_dir=tmp_path, kafka=NOWHERE, private_token="open sesame")) as (client, _):
        for each in OPERATIONS:
            response = await client.request(each.method, each.path)
            is_refused = response.status_code == 401 and response.json()["error"]["code"] == "token_needed"
            assert is_refused == each.needs_token, each.path


async def test_the_schema_tells_every_public_table_and_what_its_columns_are(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "long_calls.sql").write_text(
        "-- long_calls: calls of more than an hour.\n-- over: calls\n--\n-- columns:\n--   id  which session\n\n"
        "-- name: view\nSELECT session_id AS id, duration_ms FROM calls WHERE duration_ms > 3_600_000;\n"
    )
    async with serving(Settings(data_dir=tmp_path, kafka=NOWHERE)) as (client, _):
        tables = {table["name"]: table for table in (await client.get("/v1/schema")).json()["tables"]}
    assert tables["long_calls"] == {
        "name": "long_calls",
        "description": "calls of more than an hour.",
        "columns": [
            {"name": "id", "type": "VARCHAR", "description": "which session"},
            {"name": "duration_ms", "type": "BIGINT", "description": None},
        ],
    }
    assert {"sessions", "transcripts", "calls", "conversations"} <= set(tables)
    assert all(column["description"] for column in tables["calls"]["columns"])


async def test_with_a_token_every_query_must_carry_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, kafka=NOWHERE, private_token="open sesame")
    async with serving(settings) as (client, _):
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "open sesame"}):
            refused = await client.post("/v1/sql", json={"sql": "SELECT 1"}, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_needed")
        answered = await client.post(
            "/v1/sql", json={"sql": "SELECT 1"}, headers={"authorization": "Bearer open sesame", "host": "sql.example"}
        )
        assert answered.status_code == 200


def test_an_address_that_others_reach_needs_a_token() -> None:
    with pytest.raises(UsageError, match="POSTCALL_PRIVATE_TOKEN"):
        Guard(host="0.0.0.0", token=None)  # noqa: S104 - that is the point
    Guard(host="0.0.0.0", token="open sesame")  # noqa: S104 - as above
    Guard(host="::1", token=None)
