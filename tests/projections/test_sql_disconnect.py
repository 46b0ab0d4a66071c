"""A query lives no longer than the client that asked, and others wait their turn."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest

from postcall.http_server import serve_http
from postcall.service import address_of
from projections.api.application import build_application
from projections.api.guard import Guard
from projections.api.sql import SqlApi
from projections.errors import QueriesBusy, QueryCancelled
from projections.query.lanes import QueryLanes
from projections.query.runner import QueryRunner, Statement
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from tests.waiting import eventually

ENDLESS = "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b"
LARGE = "SELECT repeat('x', 1000000) AS x FROM range(50)"


@pytest.fixture(scope="module")
def single(warehouse: Warehouse) -> Iterator[QueryRunner]:
    """Runs queries one at a time, none of which meets its deadline within a test."""
    runner = QueryRunner(lambda: warehouse, QuerySettings(sql_deadline_s=300.0, sql_memory_mb=512, sql_concurrency=1))
    yield runner
    runner.close()


@asynccontextmanager
async def serving(api: SqlApi) -> AsyncIterator[str]:
    """The private port with this alone; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with serve_http(build_application([api], Guard(host="127.0.0.1", token=None)), listener, drain_s=1):
        yield address_of(listener)


async def send_query(address: str, sql: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection over which a query was asked."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = orjson.dumps({"sql": sql})
    writer.write(
        b"POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await writer.drain()
    return reader, writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Go away."""
    writer.close()
    await writer.wait_closed()


async def ask_one(address: str) -> int:
    """The answer of a query that takes no time once it is its turn."""
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client:
        return int((await client.post("/v1/sql", json={"sql": "SELECT 1 AS n"})).json()["rows"][0]["n"])


async def test_a_client_that_goes_away_before_the_answer_ends_its_query(single: QueryRunner) -> None:
    api = SqlApi(runner=single)
    async with serving(api) as address:
        _, writer = await send_query(address, ENDLESS)
        await eventually(api._lanes._free.locked)
        await hang_up(writer)
        assert await ask_one(address) == 1


async def test_a_client_that_goes_away_amid_the_answer_ends_its_query(single: QueryRunner) -> None:
    api = SqlApi(runner=single)
    async with serving(api) as address:
        reader, writer = await send_query(address, LARGE)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert api._lanes._free.locked()
        await hang_up(writer)
        assert await ask_one(address) == 1


async def test_a_client_that_waits_its_turn_and_goes_away_takes_nobody_s(single: QueryRunner) -> None:
    api = SqlApi(runner=single)
    async with serving(api) as address:
        _, first = await send_query(address, ENDLESS)
        await eventually(api._lanes._free.locked)
        _, second = await send_query(address, ENDLESS)
        await hang_up(second)
        await hang_up(first)
        assert await ask_one(address) == 1


async def test_queries_beyond_the_limit_wait_and_then_give_up(single: QueryRunner) -> None:
    lanes = QueryLanes(single, patience_s=0.1)
    async with lanes.answer(Statement(sql="SELECT 1")):
        with pytest.raises(QueriesBusy):
            await ask_lanes(lanes, "SELECT 1")
    await ask_lanes(lanes, "SELECT 1")


async def test_a_query_that_is_given_up_leaves_nothing_open(single: QueryRunner) -> None:
    lanes = QueryLanes(single)

    async def give_up(sql: str) -> None:
        asking = asyncio.create_task(ask_lanes(lanes, sql))
        await eventually(lanes._free.locked)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    for sql in (ENDLESS, LARGE, "SELECT 1"):
        await give_up(sql)
    # Warnings are errors: what was left open would be told here.
    await asyncio.to_thread(lanes._threads.shutdown)
    gc.collect()


async def ask_lanes(lanes: QueryLanes, sql: str) -> None:
    """Take the whole answer."""
    async with lanes.answer(Statement(sql=sql)) as answer:
        async for _ in lanes.read_chunks(answer):
            await asyncio.sleep(0)


def test_a_query_that_was_cancelled_before_it_ran_starts_no_process(single: QueryRunner) -> None:
    query = single.prepare(Statement(sql="SELECT 1"))
    query.cancel()
    with pytest.raises(QueryCancelled):
        query.run()
    assert query._child is None


async def test_cancelling_an_answered_query_ends_its_process(single: QueryRunner) -> None:
    query = single.prepare(Statement(sql=LARGE))
    await asyncio.to_thread(query.run)
    assert query._child is not None
    pid = query._child._pid
    assert is_running(pid)
    query.cancel()
    await eventually(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
