"""The copy over HTTP: one whole file, whatever takes its place meanwhile."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import httpx
import pytest

from postcall.http_server import serve_http
from postcall.service import address_of
from projections.api.application import build_application
from projections.api.copies import CopiesApi
from projections.api.guard import Guard
from projections.copying.copier import Copier
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.conftest import fill_log
from tests.projections.logbook import apply_records, number_records
from tests.projections.service import StartService
from tests.waiting import eventually

AUTHORIZED = {"authorization": "Bearer open sesame"}


@pytest.fixture
def changing() -> Warehouse:
    """A warehouse of its own, with three calls in it."""
    warehouse = Warehouse(":memory:")
    apply_records(warehouse, number_records(make_records(range(3))))
    return warehouse


@pytest.fixture
async def client(changing: Warehouse, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the routes of the copy, on a port that needs a token."""
    copier = Copier(lambda: changing, tmp_path, interval_s=0, reporting_timezone="UTC", spare_bytes=0)
    listener = socket.create_server(("127.0.0.1", 0))
    application = build_application([CopiesApi(copier=copier)], Guard(host="127.0.0.1", token="open sesame"))
    async with (
        serve_http(application, listener, drain_s=1),
        copier.running(),
        httpx.AsyncClient(base_url=f"http://{address_of(listener)}", headers=AUTHORIZED, timeout=60) as client,
    ):
        yield client
    changing.close()


def count_sessions(file: bytes, tmp_path: Path) -> int:
    """How many sessions a downloaded database has."""
    path = tmp_path / "downloaded.duckdb"
    path.write_bytes(file)
    with duckdb.connect(path, read_only=True) as database:
        return int(database.execute("SELECT count(*) FROM sessions").fetchall()[0][0])


async def test_before_there_is_a_copy_it_says_how_to_get_one(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/copy")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_copy")
    assert "POST /v1/copy" in response.json()["error"]["message"]


async def test_a_copy_that_is_asked_for_is_there_and_whole(client: httpx.AsyncClient, tmp_path: Path) -> None:
    made = (await client.post("/v1/copy")).raise_for_status().json()
    assert set(made) == {"copied_at", "bytes", "seconds", "left_out"}
    response = await client.get("/v1/copy")
    assert int(response.headers["content-length"]) == len(response.content) == made["bytes"]
    assert response.headers["cache-control"] == "no-store"
    assert count_sessions(response.content, tmp_path) == 3


async def test_nobody_gets_it_or_makes_it_without_the_token(client: httpx.AsyncClient) -> None:
    for method in ("GET", "POST"):
        refused = await client.request(method, "/v1/copy", headers={"authorization": "Bearer wrong"})
        assert refused.status_code == 401


async def test_what_a_client_has_already_is_not_sent_again(client: httpx.AsyncClient, changing: Warehouse) -> None:
    await client.post("/v1/copy")
    known = (await client.head("/v1/copy")).headers["etag"]
    for tags in (known, f'"another", W/{known}', "*"):
        assert (await client.get("/v1/copy", headers={"if-none-match": tags})).status_code == 304
    apply_records(changing, number_records(make_records(range(4))))
    await client.post("/v1/copy")
    assert (await client.get("/v1/copy", headers={"if-none-match": known})).status_code == 200


async def test_a_download_goes_on_where_it_was_cut_off(client: httpx.AsyncClient) -> None:
    await client.post("/v1/copy")
    whole = await client.get("/v1/copy")
    part = await client.get("/v1/copy", headers={"range": "bytes=1000-", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[1000:])
    beyond = await client.get("/v1/copy", headers={"range": f"bytes={len(whole.content)}-"})
    assert (beyond.status_code, beyond.json()["error"]["code"]) == (416, "wrong_range")


async def test_a_download_is_of_one_copy_though_another_takes_its_place(
    client: httpx.AsyncClient, changing: Warehouse, tmp_path: Path
) -> None:
    await client.post("/v1/copy")
    async with client.stream("GET", "/v1/copy") as response:
        apply_records(changing, number_records(make_records(range(40))))
        await client.post("/v1/copy")
        body = await response.aread()
    assert len(body) == int(response.headers["content-length"])
    assert count_sessions(body, tmp_path) == 3


async def test_the_service_copies_beside_projecting(
    log_address: str, tmp_path: Path, start_service: StartService
) -> None:
    await fill_log(log_address, range(3))
    service = start_service(log_address, tmp_path / "data")

    async def has_all() -> bool:
        return await service.count("sessions") == 3

    await eventually(has_all)
    async with httpx.AsyncClient(base_url=service.address, timeout=60) as client:
        (await client.post("/v1/copy")).raise_for_status()
        assert count_sessions((await client.get("/v1/copy")).content, tmp_path) == 3
