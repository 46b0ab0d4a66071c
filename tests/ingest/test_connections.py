"""Heads that are too large, too slow or no HTTP at all are refused, and the door stays quick for others."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from ingest.connections import BoundedConnection
from tests.ingest.doors import Door, open_door


class HastyConnection(BoundedConnection):
    head_deadline_s = 0.2


async def exchange(door: Door, *pieces: bytes) -> bytes:
    """Send pieces and read to the end of what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for piece in pieces:
        writer.write(piece)
    try:
        return await reader.read()
    finally:
        writer.close()


def error_code(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    error = orjson.loads(body)["error"]
    assert int(head.split()[1]) == error["status"]
    return error["status"], error["code"]


@pytest.mark.parametrize(
    ("request_bytes", "refusal"),
    [
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\npad: " + b"x" * 70_000 + b"\r\n\r\n", (431, "head_too_large")),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n", (431, "head_too_large")),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", (431, "head_too_large")),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\npad: " + b"x" * 1_000_000, (431, "head_too_large")),
        (b"\x16\x03\x01 tls?", (400, "malformed_request")),
        (b"POST /webhooks/layercode HTTP/1.1\r\ncontent-length: x\r\n\r\n", (400, "malformed_request")),
    ],
)
async def test_what_is_no_bounded_http_is_refused_in_the_one_shape(
    log_address: str, request_bytes: bytes, refusal: tuple[int, str]
) -> None:
    async with open_door(log_address) as door:
        assert error_code(await exchange(door, request_bytes)) == refusal
        assert (await door.client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("half", [b"POST /webh", b"POST /webhooks/layercode HTTP/1.1\r\nhost: x\r\n"])
async def test_a_head_that_does_not_come_is_given_up(log_address: str, half: bytes) -> None:
    async with open_door(log_address, connection=HastyConnection) as door:
        assert error_code(await exchange(door, half)) == (408, "too_slow")


@pytest.mark.parametrize("nothing", [b"", b"\r\n\r\n"])
async def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word(
    log_address: str, nothing: bytes
) -> None:
    async with open_door(log_address, connection=HastyConnection) as door:
        assert await exchange(door, nothing) == b""


async def test_a_second_head_on_a_connection_has_its_deadline_too(log_address: str) -> None:
    async with open_door(log_address, connection=HastyConnection) as door:
        answers = await exchange(door, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HT")
        assert answers.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in answers


async def test_a_request_outlasts_the_deadline_of_heads(log_address: str) -> None:
    async with open_door(log_address, connection=HastyConnection) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"POST /webhooks/layercode HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), timeout=3 * HastyConnection.head_deadline_s)
        writer.write(b"2")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()


async def test_silent_connections_do_not_keep_others_waiting(log_address: str) -> None:
    async with open_door(log_address) as door:
        silent = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(200)]
        assert (await door.client.get("/healthz")).text == "alive\n"
        for _, writer in silent:
            writer.close()
