"""The door as a process: it starts before the log, survives it, stops in order, and never claims what is not so."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.ingest.doors import open_door, read_webhooks, sign
from tests.ingest.processes import Service, make_broker, make_ingest, until_ready
from tests.waiting import eventually

BODY = b'{"type":"session.end","session_id":"s1"}'
DOOR = "/webhooks/layercode"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Service]:
    service = make_broker(tmp_path)
    yield service
    service.close()


@pytest.fixture
def ingest(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A door to the log that the test takes, or to the broker that it starts itself."""
    takes_log = "log_address" in request.fixturenames
    address = request.getfixturevalue("log_address") if takes_log else request.getfixturevalue("broker").address
    service = make_ingest(address)
    yield service
    service.close()


@pytest.fixture
async def client(ingest: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{ingest.address}", timeout=30, trust_env=False) as opened:
        yield opened


async def post(client: httpx.AsyncClient, body: bytes = BODY) -> httpx.Response:
    return await client.post(DOOR, content=body, headers={"layercode-signature": sign(body)})


@pytest.mark.embedded_log
async def test_a_door_that_starts_before_the_log_is_alive_and_not_ready_until_it_is(
    broker: Service, ingest: Service, client: httpx.AsyncClient
) -> None:
    ingest.start()
    assert (await client.get("/healthz")).status_code == 200
    not_ready = await client.get("/readyz")
    assert (not_ready.status_code, not_ready.json()["error"]["code"]) == (503, "log_unavailable")
    broker.start()
    await until_ready(client)
    assert (await post(client)).status_code == 200


@pytest.mark.embedded_log
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
async def test_without_the_log_nothing_is_claimed(tmp_path: Path, fault: signal.Signals) -> None:
    broker = make_broker(tmp_path)
    broker.start()
    try:
        async with open_door(broker.address, deadline_s=0.5) as door:
            await door.until_ready()
            assert (await door.post(BODY)).status_code == 200
            broker.send(fault)
            refused = await door.post(b'{"type":"session.end","session_id":"lost"}')
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "log_unavailable")
            assert refused.headers["retry-after"]
            assert refused.headers["postcall-receipt"]
            assert (await door.client.get("/healthz")).status_code == 200
            if fault is signal.SIGSTOP:
                broker.send(signal.SIGCONT)
            else:
                broker.wait()
                broker.start()

            async def is_stored() -> bool:
                return (await door.post(b'{"type":"session.end","session_id":"later"}')).status_code == 200

            await eventually(is_stored, timeout_s=40)
            stored = [record.value for record in await door.read_log()]
            assert BODY in stored
            assert b'{"type":"session.end","session_id":"later"}' in stored
    finally:
        broker.close()


@pytest.mark.both_logs
async def test_a_door_that_is_stopped_answers_what_is_in_flight(
    log_address: str, ingest: Service, client: httpx.AsyncClient
) -> None:
    ingest.start()
    await until_ready(client)
    host, port = ingest.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {DOOR} HTTP/1.1\r\nhost: x\r\nlayercode-signature: {sign(BODY)}\r\ncontent-length: {len(BODY)}\r\n"
    writer.write(f"{head}expect: 100-continue\r\n\r\n".encode())
    # Once it is asked for the body, the request is in flight.
    assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")
    ingest.send(signal.SIGTERM)
    writer.write(BODY)
    answer = await reader.read()
    assert b"HTTP/1.1 200 OK" in answer
    writer.close()
    assert await asyncio.to_thread(ingest.wait) == 0
    assert [record.value for record in await read_webhooks(log_address)] == [BODY]


def test_a_door_without_a_secret_does_not_start(tmp_path: Path) -> None:
    code = "import sys; from postcall.errors import PostcallError\nfrom ingest.commands import ingest\n"
    code += "try:\n    ingest(data_dir=None, host=None, port=0, kafka=None, listen_fd=None)\n"
    code += "except PostcallError as error:\n    print(error); sys.exit(error.exit_code)\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"POSTCALL_ENV_FILE": "", "PYTHONPATH": str(Path.cwd())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "LAYERCODE_WEBHOOK_SECRET" in done.stdout
    assert "docs/connect-layercode.md" in done.stdout


@dataclass
class Ledger:
    """What a client knows for sure: what it sent, and which receipts were answered with 200."""

    sent: set[bytes] = field(default_factory=set)
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    async def keep_posting(self, client: httpx.AsyncClient, name: int, stopped: asyncio.Event) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            body = b'{"type":"session.end","session_id":"s%d","n":%d}' % (name, number)
            self.sent.add(body)
            # A reset or a time-out is an unknown outcome: it may be stored or not.
            with contextlib.suppress(httpx.TransportError):
                self._note(await post(client, body), body)

    def _note(self, response: httpx.Response, body: bytes) -> None:
        receipt = response.headers["postcall-receipt"]
        if response.status_code == 200:
            self.acknowledged[receipt] = body
        else:
            self.refused.add(receipt)


@pytest.mark.both_logs
async def test_fault_01_every_receipt_that_was_answered_200_is_in_the_log_whenever_the_door_is_killed(
    log_address: str, ingest: Service, client: httpx.AsyncClient
) -> None:
    ingest.start()
    await until_ready(client)
    ledger, stopped = Ledger(), asyncio.Event()
    posting = [asyncio.create_task(ledger.keep_posting(client, name, stopped)) for name in range(16)]
    for _ in range(5):
        enough = len(ledger.acknowledged) + random.randrange(50, 200)  # noqa: S311 - pytest prints and sets the seed
        await eventually(lambda enough=enough: len(ledger.acknowledged) >= enough, timeout_s=30)
        await asyncio.to_thread(ingest.kill)
        ingest.start()
    before = len(ledger.acknowledged)
    await eventually(lambda: len(ledger.acknowledged) > before, timeout_s=30)
    stopped.set()
    await asyncio.gather(*posting)
    stored = {record.header("receipt-id"): record.value for record in await read_webhooks(log_address)}
    missing = {receipt for receipt, body in ledger.acknowledged.items() if stored.get(receipt) != body}
    assert not missing
    assert set(stored.values()) <= ledger.sent
    assert not ledger.refused & set(stored), "a refused delivery was stored"
