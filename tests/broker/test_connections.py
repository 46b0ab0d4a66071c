"""Connections: bad bytes close one of them and nothing else, and what is advertised is what is answered."""

from __future__ import annotations

import asyncio
import logging
import re
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse

from broker import apis
from broker.errors import ErrorCode
from broker.registry import DoubleRegistration, Registry
from broker.server import make_registry
from tests.broker.admin import CreateTopic
from tests.broker.test_fetch import fetch_request
from tests.broker.wire import WireClient, record_batch, wire_client


async def ask_versions(client: WireClient, *, version: int = 3) -> dict[int, tuple[int, int]]:
    """What the broker advertises."""
    request = ApiVersionsRequest(client_software_name="wire", client_software_version="1")
    response = await client.ask(request, ApiVersionsResponse, version=version)
    return {api.api_key: (api.min_version, api.max_version) for api in response.api_keys}


@pytest.mark.parametrize("version", range(4))
async def test_advertised_versions_are_the_registered_ones(log_address: str, version: int) -> None:
    async with wire_client(log_address) as client:
        advertised = await ask_versions(client, version=version)
    assert advertised == {api.key: api.advertised_versions for api in make_registry()}


async def test_unknown_api_versions_version_is_answered_and_the_connection_survives(log_address: str) -> None:
    async with wire_client(log_address) as client:
        client.send_bytes(struct.pack(">ihhih", 10, 18, 99, 7, -1))
        response = await client.receive(ApiVersionsResponse, version=0)
        assert (response.header.correlation_id, response.error_code) == (7, ErrorCode.UNSUPPORTED_VERSION)
        assert await ask_versions(client)


def test_double_registration_stops_the_start() -> None:
    produce = next(iter(make_registry()))
    with pytest.raises(DoubleRegistration):
        Registry([produce, produce])


def test_every_file_of_a_request_opens_with_its_name_key_and_versions() -> None:
    headings = {
        (int(found["key"]), int(found["lowest"]), int(found["highest"]))
        for path in Path(apis.__path__[0]).glob("[a-z]*.py")
        if (found := re.match(r'"""\w+, key (?P<key>\d+), v(?P<lowest>\d+)-v(?P<highest>\d+)\.', path.read_text()))
    }
    assert headings == {(api.key, api.min_version, api.max_version) for api in make_registry()}


BAD_FRAMES = {
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100f8010000f40303"),
    "a negative size": struct.pack(">i", -5),
    "a size above the limit": struct.pack(">i", 2**31 - 1),
    "an empty frame": struct.pack(">i", 0),
    "an unknown request": struct.pack(">ihhih", 10, 999, 0, 1, -1),
    "an unknown version": struct.pack(">ihhih", 10, 3, 99, 1, -1),
    "a version advertised and not answered": struct.pack(">ihhih", 10, 0, 0, 1, -1),
    "a client id past the end": struct.pack(">ihhih", 10, 3, 0, 1, 500),
    "a body cut short": struct.pack(">ihhih", 10, 1, 11, 1, -1),
    "an endless tagged field": struct.pack(">ihhih", 16, 3, 9, 1, -1) + b"\xff" * 6,
}


@pytest.mark.parametrize("frame", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
async def test_bad_frame_closes_its_connection_with_one_line(
    log_address: str, frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="broker")
    async with wire_client(log_address) as bystander, wire_client(log_address) as client:
        client.send_bytes(frame)
        assert await asyncio.wait_for(client.is_closed(), timeout=10)
        assert await ask_versions(bystander)
    assert [record.__dict__["action"] for record in caplog.records] == ["connection_refused"]


frames = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda api, back, body: (
            struct.pack(">ihhih", 10 + len(body), api.key, max(api.max_version - back, api.min_version), 1, -1) + body
        ),
        st.sampled_from(list(make_registry())),
        st.integers(min_value=0, max_value=12),
        st.binary(max_size=120),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(frames, min_size=1, max_size=4))
def test_random_bytes_never_stop_the_log(log_address: str, sent: list[bytes]) -> None:
    async def attack() -> None:
        async with wire_client(log_address) as client:
            for frame in sent:
                client.send_bytes(frame)
        async with wire_client(log_address) as bystander:
            assert await asyncio.wait_for(ask_versions(bystander), timeout=10)

    asyncio.run(attack())


async def test_client_that_does_not_read_is_not_read_from_for_ever(log_address: str, create_topic: CreateTopic) -> None:
    topic = await create_topic()
    async with wire_client(log_address) as writer:
        await writer.produce(topic, record_batch(bytes(4 * 2**20)))
    async with wire_client(log_address) as deaf:
        transport = deaf._writer.transport
        deaf._reader._transport.pause_reading()  # type: ignore[attr-defined] # a client that stops reading
        sent = 0
        while transport.get_write_buffer_size() < 2**20 and sent < 200_000:
            deaf.send(fetch_request(topic, 0, max_bytes=5 * 2**20), version=11)
            sent += 1
            if sent % 500 == 0:
                await asyncio.sleep(0)
        assert transport.get_write_buffer_size() >= 2**20, "the broker took all requests in"
