"""A delivery with a right signature lies in the log, byte for byte, before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from ingest.webhooks import Limits
from postcall.deliveries import RawDelivery
from tests.ingest.doors import Door, open_door, sign
from tests.waiting import eventually

pytestmark = pytest.mark.both_logs

BODY = '{ "type":"session.end",  "session_id":"s1", "note":"café\\u00e9\\ud83d\\ude00" }\n'.encode()


async def test_an_accepted_body_lies_in_the_log_byte_for_byte(door: Door) -> None:
    response = await door.post(BODY, "/webhooks/layercode/ag-1", **{"content-type": "application/json"})
    assert (response.status_code, response.text) == (200, "OK")
    [record] = await door.read_log()
    assert record.value == BODY
    delivery = RawDelivery.from_record(record)
    assert delivery.receipt_id == response.headers["postcall-receipt"]
    assert (delivery.session_id, delivery.event_type, delivery.agent_id) == ("s1", "session.end", "ag-1")
    assert (delivery.source, delivery.signature, delivery.content_type) == ("layercode", "verified", "application/json")
    assert delivery.signed_at is not None
    assert abs((delivery.received_at - delivery.signed_at).total_seconds()) < 60


async def test_no_secret_and_no_signature_is_noted_in_the_log(door: Door) -> None:
    await door.post(BODY, authorization="Bearer custom", **{"x-tenant": "acme"})
    [record] = await door.read_log()
    noted = b" ".join(value for _, value in record.headers)
    assert b"v1=" not in noted
    assert b"custom" not in noted


@pytest.mark.parametrize("body", [b'{"type":"session.end","session_id":"s1","tran', b"\xff\x00\xfe", b"[]"])
async def test_a_signed_body_that_cannot_be_read_is_stored_all_the_same(door: Door, body: bytes) -> None:
    assert (await door.post(body)).status_code == 200
    [record] = await door.read_log()
    assert (record.value, record.key, record.header("event-type")) == (body, None, "unreadable")


async def test_an_unknown_type_is_stored_under_its_session(door: Door) -> None:
    assert (await door.post(b'{"type":"session.moved","session_id":"s1"}')).status_code == 200
    [record] = await door.read_log()
    assert (record.key, record.header("event-type")) == (b"s1", "session.moved")


async def test_a_turn_is_answered_with_one_server_sent_event(door: Door) -> None:
    response = await door.post(b'{"type":"message","session_id":"s1","turn_id":"t-7","text":"Hi"}')
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.text == 'data: {"type":"response.end","turn_id":"t-7"}\n\n'
    assert len(await door.read_log()) == 1


async def test_data_is_answered_with_json(door: Door) -> None:
    response = await door.post(b'{"type":"data","session_id":"s1","turn_id":"t-7","data":{}}')
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {}


async def test_a_repeat_has_its_own_receipt_and_the_same_delivery_id(door: Door) -> None:
    headers = {"layercode-signature": sign(BODY)}
    for _ in range(2):
        await door.client.post("/webhooks/layercode", content=BODY, headers=headers)
    first, second = [RawDelivery.from_record(record) for record in await door.read_log()]
    assert first.receipt_id != second.receipt_id
    assert first.delivery_id == second.delivery_id


async def test_many_at_once_are_all_stored(door: Door) -> None:
    bodies = [b'{"type":"session.end","session_id":"s%d"}' % number for number in range(200)]
    responses = await asyncio.gather(*(door.post(body) for body in bodies))
    assert {response.status_code for response in responses} == {200}
    records = await door.read_log()
    assert sorted(record.value for record in records) == sorted(bodies)
    assert {record.header("receipt-id") for record in records} == {
        response.headers["postcall-receipt"] for response in responses
    }


async def test_a_client_that_hangs_up_does_not_take_its_delivery_back(door: Door) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = f"POST /webhooks/layercode HTTP/1.1\r\nhost: x\r\nlayercode-signature: {sign(BODY)}\r\n"
    writer.write(f"{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY)
    await writer.drain()
    writer.transport.abort()

    async def is_stored() -> bool:
        return [record.value for record in await door.read_log()] == [BODY]

    await eventually(is_stored)


async def test_a_chunked_body_is_stored_whole(door: Door) -> None:
    async def send_pieces() -> AsyncIterator[bytes]:
        for byte in BODY:
            yield bytes([byte])

    await door.client.post("/webhooks/layercode", content=send_pieces(), headers={"layercode-signature": sign(BODY)})
    [record] = await door.read_log()
    assert record.value == BODY


async def test_a_body_of_exactly_the_limit_is_stored(log_address: str) -> None:
    async with open_door(log_address, limits=Limits(max_body_bytes=len(BODY))) as door:
        await door.until_ready()
        assert (await door.post(BODY)).status_code == 200
        assert (await door.post(BODY + b" ")).status_code == 413
        assert len(await door.read_log()) == 1


async def test_the_largest_body_by_default_is_stored(door: Door) -> None:
    body = b'{"type":"session.end","session_id":"s1","pad":"'
    body += b"x" * (Limits().max_body_bytes - len(body) - 2) + b'"}'
    assert (await door.post(body)).status_code == 200
    [record] = await door.read_log()
    assert record.value == body


async def test_the_receipt_is_a_uuid_of_version_seven(door: Door) -> None:
    receipt = (await door.post(BODY)).headers["postcall-receipt"]
    assert UUID(receipt).version == 7
