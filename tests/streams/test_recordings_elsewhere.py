"""Redirects to another host: over TLS to an address that was checked, and never with the vendor's key."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from postcall.sources.base import RecordingAccess
from streams.recordings.download import Downloader
from streams.recordings.errors import HopRefused, NotYet
from streams.recordings.hops import resolve_public
from streams.recordings.settings import RecordingSettings
from streams.recordings.store import RecordingStore
from tests.streams.loopback import LoopbackServer, response, serving
from tests.streams.test_recordings_worker import KEY, WAV

HOST = "storage.example"
HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the host alone, with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is needed to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    subject = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both"
    both.write_bytes((folder / "key").read_bytes() + (folder / "certificate").read_bytes())
    return both


@pytest.fixture
async def storage(certificate: Path) -> AsyncIterator[LoopbackServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serving(certificates=context) as server:
        yield server


async def resolve_here(url: httpx.URL) -> Sequence[str]:
    """As if the host were public; at its first address nobody listens."""
    return ("::1", "127.0.0.1") if url.host == HOST else await resolve_public(url)


async def fetch(access: RecordingAccess, folder: Path, certificate: Path | None) -> bytes:
    trusted = ssl.create_default_context(cafile=certificate)
    downloader = Downloader(RecordingSettings(), resolve=resolve_here, certificates=trusted)
    store = RecordingStore(folder)
    store.open()
    try:
        async with store.begin() as part:
            await downloader.fetch(access, part)
            part.file.seek(0)
            return part.file.read()
    finally:
        await downloader.close()


async def test_the_recording_comes_from_elsewhere_without_the_key(
    tmp_path: Path, storage: LoopbackServer, certificate: Path
) -> None:
    storage.answer("/signed?a=b", response(200, WAV))
    async with serving() as vendor:
        location = f"https://{HOST}:{storage.port}/signed?a=b"
        url = vendor.answer("/recording", response(302, headers={"Location": location}))
        access = RecordingAccess(url=url, origin=vendor.origin, headers=HEADERS)
        assert await fetch(access, tmp_path, certificate) == WAV
    assert "authorization" in vendor.requests[0].headers
    assert "authorization" not in storage.requests[0].headers
    assert storage.requests[0].headers["host"] == f"{HOST}:{storage.port}"


async def test_the_key_does_not_come_back_with_a_redirect_to_the_vendor(
    tmp_path: Path, storage: LoopbackServer, certificate: Path
) -> None:
    async with serving() as vendor:
        storage.answer("/there", response(302, headers={"Location": f"{vendor.origin}/recording"}))
        access = RecordingAccess(url=f"https://{HOST}:{storage.port}/there", origin=vendor.origin, headers=HEADERS)
        with pytest.raises(HopRefused):
            await fetch(access, tmp_path, certificate)
        assert vendor.connections == 0
    assert "authorization" not in storage.requests[0].headers


async def test_the_certificate_must_be_of_the_name_that_was_asked_for(tmp_path: Path, storage: LoopbackServer) -> None:
    access = RecordingAccess(url=f"https://{HOST}:{storage.port}/x", origin="https://vendor.example:443", headers={})
    with pytest.raises(NotYet, match="connection failed"):
        await fetch(access, tmp_path, None)
    assert storage.requests == []
