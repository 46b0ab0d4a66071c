"""The private port's description is true: every route is in it, and every answer in it is one that a request gets."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.routing import Route

import projections.api
from postcall.service import address_of
from postcall.settings import Settings
from projections.api.application import RouteFamily
from projections.api.operations import OPERATIONS
from projections.files import make_serving
from projections.server import serve
from projections.settings import CopySettings, QuerySettings, WarehouseSettings
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.conftest import fill_log
from tests.projections.logbook import apply_records, number_records

NOWHERE = "127.0.0.1:1"
SQL = {"method": "POST", "url": "/v1/sql"}
REPLAY = {"method": "POST", "url": "/v1/replays/projections"}
RECORDING = "/v1/sessions/session-000001/recording"
#: For each answer that is described, a request that gets it: path, method, status, the request.
REQUESTS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("/v1/sessions", "GET", 200, {"url": "/v1/sessions?limit=3&metadata.tenant=acme"}),
    ("/v1/sessions", "GET", 400, {"url": "/v1/sessions?limit=x"}),
    ("/v1/sessions/{session_id}", "GET", 200, {"url": "/v1/sessions/session-000001"}),
    ("/v1/sessions/{session_id}", "GET", 200, {"url": "/v1/sessions/session-000005"}),
    ("/v1/sessions/{session_id}", "GET", 404, {"url": "/v1/sessions/nobody"}),
    ("/v1/sessions/{session_id}/recording", "GET", 200, {"url": RECORDING}),
    ("/v1/sessions/{session_id}/recording", "GET", 206, {"url": RECORDING, "headers": {"range": "bytes=0-3"}}),
    ("/v1/sessions/{session_id}/recording", "GET", 404, {"url": "/v1/sessions/session-000005/recording"}),
    ("/v1/sessions/{session_id}/recording", "GET", 416, {"url": RECORDING, "headers": {"range": "bytes=99-"}}),
    ("/v1/sql", "POST", 200, SQL | {"json": {"sql": "FROM calls"}}),
    ("/v1/sql", "POST", 200, SQL | {"json": {"sql": "FROM calls", "format": "csv"}}),
    ("/v1/sql", "POST", 200, SQL | {"json": {"sql": "FROM calls", "format": "arrow"}}),
    ("/v1/sql", "POST", 200, SQL | {"json": {"sql": "FROM calls", "format": "parquet"}}),
    ("/v1/schema", "GET", 200, {"url": "/v1/schema"}),
    ("/v1/sql", "POST", 400, SQL | {"json": {"sql": "SELECT nothing FROM calls"}}),
    ("/v1/sql", "POST", 413, SQL | {"json": {"sql": "-" * 2**21}}),
    ("/v1/sql", "POST", 415, SQL | {"data": {"sql": "FROM calls"}}),
    ("/v1/copy", "GET", 404, {"url": "/v1/copy"}),
    ("/v1/copy", "POST", 200, {"url": "/v1/copy"}),
    ("/v1/copy", "GET", 200, {"url": "/v1/copy"}),
    ("/v1/copy", "GET", 206, {"url": "/v1/copy", "headers": {"range": "bytes=0-9"}}),
    ("/v1/copy", "GET", 304, {"url": "/v1/copy", "headers": {"if-none-match": "*"}}),
    ("/v1/copy", "GET", 416, {"url": "/v1/copy", "headers": {"range": "bytes=99999999999-"}}),
    ("/v1/replays/projections", "POST", 200, REPLAY | {"json": {"only": "nothing"}}),
    ("/v1/replays/projections", "POST", 400, REPLAY | {"json": {"x": 1}}),
    ("/v1/replays/projections", "POST", 413, REPLAY | {"json": "-" * 2**21}),
    ("/v1/replays/projections", "POST", 415, REPLAY | {"data": {"x": "1"}}),
    ("/healthz", "GET", 200, {"url": "/healthz"}),
    ("/readyz", "GET", 503, {"url": "/readyz"}),
    ("/openapi.json", "GET", 200, {"url": "/openapi.json"}),
    ("/docs", "GET", 200, {"url": "/docs"}),
    ("/docs.css", "GET", 200, {"url": "/docs.css"}),
]
#: One needs a log, the other a short deadline, which a busy machine would let the others miss.
ASKED_APART = {("/readyz", "GET", 200), ("/v1/sql", "POST", 504)}


@asynccontextmanager
async def serving(
    settings: Settings, *, sql_deadline_s: float = 30.0
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """The service in this process, a client of it, and whether it has said that it is ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping, ready = asyncio.Event(), asyncio.Event()
    service = asyncio.create_task(
        serve(
            settings,
            WarehouseSettings(projections_dir=settings.data_dir / "sql"),
            QuerySettings(sql_deadline_s=sql_deadline_s),
            listener,
            on_ready=ready.set,
            on_held=lambda _: None,
            stopping=stopping,
            # Only when asked, so that there is none before.
            copy_settings=CopySettings(analytics_copy_interval_s=0),
        )
    )
    async with httpx.AsyncClient(base_url=f"http://{address_of(listener)}", timeout=60) as client:
        # Connections wait in the listener's queue until it is served.
        assert (await client.get("/healthz")).status_code == 200
        yield client, ready
    stopping.set()
    await service


def make_warehouse(data_dir: Path) -> None:
    """A warehouse of six calls, one of which has its recording here."""
    warehouse = Warehouse(data_dir / "warehouse-1.duckdb")
    apply_records(warehouse, number_records(make_records(range(6))))
    warehouse.close()
    make_serving(data_dir / "warehouse-1.duckdb")
    (data_dir / "recordings").mkdir()
    (data_dir / "recordings" / "session-000001.wav").write_bytes(b"RIFF of a few bytes")


def all_routes() -> Iterator[Route]:
    """The routes of every family in the package, whether the service has it or not."""
    for module in pkgutil.iter_modules(projections.api.__path__, "projections.api."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and kind.__module__ == module.name and is_family(kind):
                # Routes name handlers, and need nothing that they need.
                family: RouteFamily = object.__new__(kind)
                yield from family.routes()


def is_family(kind: type) -> bool:
    """Whether a class has routes, and is not the word for such classes."""
    return "routes" in vars(kind) and kind is not RouteFamily


def test_every_route_is_described() -> None:
    served = {
        (route.path.replace(":path}", "}"), method)
        for route in all_routes()
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(operation.path, operation.method) for operation in OPERATIONS} == served


def test_for_every_described_answer_there_is_a_request() -> None:
    described = {(each.path, each.method, answer.status) for each in OPERATIONS for answer in each.answers}
    assert {request[:3] for request in REQUESTS} == described - ASKED_APART


@pytest.mark.timeout(180)
async def test_requests_get_the_answers_that_are_described(tmp_path: Path) -> None:
    make_warehouse(tmp_path)
    seen: set[tuple[str, str, int, str]] = set()
    async with serving(Settings(data_dir=tmp_path, kafka=NOWHERE)) as (client, _):
        description = (await client.get("/openapi.json")).json()
        for path, method, status, request in REQUESTS:
            response = await client.request(**{"method": method, **request})
            assert response.status_code == status, (request, response.text)
            seen.add((path, method, status, media_type(response)))
            check_described(description, path, method, response)
    described = {
        (each.path, each.method, answer.status, kind)
        for each in OPERATIONS
        for answer in each.answers
        for kind in answer.media_types or ("",)
    }
    assert seen == described - {(*answer, "application/json") for answer in ASKED_APART}


async def test_readiness_is_answered_as_it_is_described(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(1))
    async with serving(Settings(data_dir=tmp_path, kafka=log_address)) as (client, ready):
        await asyncio.wait_for(ready.wait(), 60)
        response = await client.get("/readyz")
        assert response.status_code == 200
        check_described((await client.get("/openapi.json")).json(), "/readyz", "GET", response)


async def test_a_query_past_its_deadline_is_answered_as_it_is_described(tmp_path: Path) -> None:
    slow = "SELECT max(a.i * b.i) FROM range(9999999) a(i), range(999999) b(i)"
    async with serving(Settings(data_dir=tmp_path, kafka=NOWHERE), sql_deadline_s=1.0) as (client, _):
        response = await client.post("/v1/sql", json={"sql": slow})
        assert response.status_code == 504
        check_described((await client.get("/openapi.json")).json(), "/v1/sql", "POST", response)


def media_type(response: httpx.Response) -> str:
    """What an answer says that it is; nothing where it has no body."""
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0]


def check_described(description: dict[str, Any], path: str, method: str, response: httpx.Response) -> None:
    """Hold an answer against what is said of it."""
    answers = description["paths"][path][method.lower()]["responses"]
    content = answers[str(response.status_code)]["content"]
    schema = content.get(media_type(response), {}).get("schema")
    if schema is not None:
        jsonschema.validate(
            response.json(),
            {**schema, "components": description["components"]},
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )


async def test_the_description_is_openapi_whose_references_lead_somewhere(tmp_path: Path) -> None:
    async with serving(Settings(data_dir=tmp_path, kafka=NOWHERE)) as (client, _):
        description = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
    assert description["openapi"] == "3.1.0"
    for schema in description["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in find_references(description):
        assert reference.removeprefix("#/components/schemas/") in description["components"]["schemas"]
    check_page(page, description)


def find_references(value: Any) -> Iterator[str]:
    """Every `$ref` within."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from find_references(each)
    elif isinstance(value, list):
        for each in value:
            yield from find_references(each)


class _Page(HTMLParser):
    """What a page loads, runs and links to, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: set[str] = set()
        self.ids: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in {"href", "src"}:
                self.targets.add(value or "")
            elif name == "id":
                self.ids.add(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(response: httpx.Response, description: dict[str, Any]) -> None:
    """The page has all of the description, runs nothing, and needs nothing from elsewhere."""
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = _Page()
    page.feed(response.text)
    assert not page.tags & {"script", "style", "img", "iframe"}
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
    local = {target for target in page.targets if target.startswith("#")}
    assert page.targets - local == {"/docs.css", "/openapi.json"}
    assert {target[1:] for target in local} <= page.ids
    for path, methods in description["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page.text
    assert set(description["components"]["schemas"]) <= page.ids
