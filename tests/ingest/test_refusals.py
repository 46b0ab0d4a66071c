"""What is turned away: with which status, in one shape, with a receipt, and without a trace in the log."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from ingest.webhooks import Limits
from tests.ingest.doors import Door, open_door, sign
from tests.waiting import eventually

BODY = b'{"type":"session.end","session_id":"s1"}'
DOOR = "/webhooks/layercode"


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"status", "code", "message"}
    assert (error["status"], error["code"]) == (status, code)
    assert error["message"]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "code"),
    [
        (DOOR, {"layercode-signature": ""}, BODY, 401, "signature_refused"),
        (DOOR, {"layercode-signature": "nonsense"}, BODY, 401, "signature_refused"),
        (DOOR, {}, b"", 400, "empty_body"),
        (f"{DOOR}/..%2f..%2fetc", {}, BODY, 400, "unsafe_agent_id"),
        (f"{DOOR}/%2e%2e", {}, BODY, 400, "unsafe_agent_id"),
        (f"{DOOR}/a/b", {}, BODY, 400, "unsafe_agent_id"),
        (f"{DOOR}/a%00", {}, BODY, 400, "unsafe_agent_id"),
        (f"{DOOR}/a%20b", {}, BODY, 400, "unsafe_agent_id"),
        (f"{DOOR}/{'a' * 129}", {}, BODY, 400, "unsafe_agent_id"),
        ("/webhooks/vapi", {}, BODY, 404, "unknown_source"),
        (DOOR, {"content-encoding": "gzip"}, BODY, 415, "encoded_body"),
        (DOOR, {"content-encoding": "identity, br"}, BODY, 415, "encoded_body"),
    ],
)
async def test_a_refusal_has_its_status_and_a_receipt_and_stores_nothing(
    door: Door, path: str, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    response = await door.client.post(path, content=body, headers={"layercode-signature": sign(body), **headers})
    assert_refused(response, status, code)
    assert response.headers["postcall-receipt"]
    assert await door.read_log() == []
    assert sum(door.refusals.counts.values()) == 1


@pytest.mark.parametrize(
    ("signed", "other"), [(BODY, {"secret": "other"}), (BODY, {"age_s": 86_400}), (BODY, {"age_s": -86_400}), (b"", {})]
)
async def test_a_signature_of_another_secret_day_or_body_is_refused_and_stores_nothing(
    door: Door, signed: bytes, other: dict[str, Any]
) -> None:
    response = await door.client.post(DOOR, content=BODY, headers={"layercode-signature": sign(signed, **other)})
    assert_refused(response, 401, "signature_refused")
    assert await door.read_log() == []


async def test_a_signature_that_is_not_ascii_is_refused_like_any_other(door: Door) -> None:
    header = b"t=1764715200,v1=" + b"\xe9" * 64
    response = await door.client.post(DOOR, content=BODY, headers={b"layercode-signature": header})
    assert_refused(response, 401, "signature_refused")


async def test_a_forger_learns_no_reason_and_the_operator_does(door: Door) -> None:
    stale = await door.client.post(DOOR, content=BODY, headers={"layercode-signature": sign(BODY, age_s=86_400)})
    missing = await door.client.post(DOOR, content=BODY)
    assert stale.json() == missing.json()
    assert door.refusals.counts == {"StaleSignature": 1, "MissingSignature": 1}


@pytest.mark.parametrize("content_encoding", ["identity", "Identity", ""])
async def test_a_body_that_is_not_encoded_may_say_so(door: Door, content_encoding: str) -> None:
    response = await door.post(BODY, **{"content-encoding": content_encoding})
    assert response.status_code == 200


async def test_a_trailing_slash_is_no_agent(door: Door) -> None:
    assert (await door.post(BODY, f"{DOOR}/")).status_code == 200
    [record] = await door.read_log()
    assert record.header("agent-id") is None


WRONG_METHODS = [
    (method, path)
    for path, right in {DOOR: "POST", f"{DOOR}/a1": "POST", "/healthz": "GET", "/readyz": "GET"}.items()
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "POST")
    if method != right
]


@pytest.mark.parametrize(("method", "path"), WRONG_METHODS)
async def test_every_route_refuses_a_wrong_method_in_the_one_shape(door: Door, method: str, path: str) -> None:
    response = await door.client.request(method, path)
    assert_refused(response, 405, "wrong_method")
    assert ("postcall-receipt" in response.headers) == path.startswith(DOOR)
    assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/webhooks", "/webhooks/", "/healthz/", "/docs", "/%00", "//webhooks/layercode"])
async def test_every_other_path_is_not_found_in_the_one_shape(door: Door, path: str) -> None:
    response = await door.client.post(path, content=BODY)
    assert response.status_code == 404
    assert set(response.json()["error"]) == {"status", "code", "message"}


async def post_unfinished(door: Door, headers: str, *pieces: bytes) -> bytes:
    """Send a request whose body does not end, and read the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        writer.write(f"POST {DOOR} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n".encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


async def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(door: Door) -> None:
    answer = await post_unfinished(door, f"content-length: {Limits().max_body_bytes + 1}")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"postcall-receipt" in answer
    assert await door.read_log() == []


async def test_a_body_without_length_is_refused_while_it_streams(log_address: str) -> None:
    async with open_door(log_address, limits=Limits(max_body_bytes=1000)) as door:
        chunk = b"258\r\n" + b"x" * 0x258 + b"\r\n"
        answer = await post_unfinished(door, "transfer-encoding: chunked", chunk, chunk)
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_sends_all_of_a_too_large_body_can_read_the_refusal(door: Door) -> None:
    response = await door.client.post(DOOR, content=b"x" * (Limits().max_body_bytes * 2))
    assert_refused(response, 413, "body_too_large")


async def test_a_body_that_trickles_is_given_up(log_address: str) -> None:
    async with open_door(log_address, limits=Limits(body_deadline_s=0.2)) as door:
        answer = await post_unfinished(door, "content-length: 100", b"x", b"y")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"postcall-receipt" in answer


@pytest.mark.parametrize("limits", [Limits(max_requests=1), Limits(max_bytes_in_flight=len(BODY) + 10)])
async def test_beyond_its_capacity_the_door_says_so_and_recovers(log_address: str, limits: Limits) -> None:
    async with open_door(log_address, limits=limits) as door:
        await door.until_ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(f"POST {DOOR} HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n".encode() + b"x" * 20)
        await writer.drain()

        async def is_busy() -> bool:
            response = await door.post(BODY)
            if response.status_code != 200:
                assert_refused(response, 503, "busy")
            return response.status_code != 200

        await eventually(is_busy)
        assert (await door.post(BODY)).headers["retry-after"]
        writer.write(b"x" * 10)
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        assert (await door.post(BODY)).status_code == 200
