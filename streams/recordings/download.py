"""One attempt at a download: hop by hop to the bytes, and from there to a part file, hashed on the way.

Redirects are followed by hand, so that the vendor's key goes to the vendor's origin alone. Proxies and `.netrc` of the
environment are not used: they would send other keys along and make the check of addresses void.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final

import httpx

from postcall.sources.base import RecordingAccess
from streams.recordings.answers import (
    REDIRECTS,
    check_answer,
    check_start,
    has_known_end,
    too_large,
)
from streams.recordings.errors import NotYet, RecordingUnobtainable, ServerTroubled, VendorUnreachable
from streams.recordings.hops import Hop, first_hop, host_of, next_hop, resolve_public
from streams.recordings.settings import RecordingSettings
from streams.recordings.store import PartFile, run_blocking
from streams.recordings.wav import NotWav, WavHeader, is_wav_start, read_wav_header

_MAX_REDIRECTS: Final = 5
#: How much is gathered before a thread writes and hashes it.
_BLOCK_BYTES: Final = 1024 * 1024


class Downloader:
    """Fetches recordings; one for all downloads of a process, so that connections to the vendor are shared."""

    def __init__(
        self,
        settings: RecordingSettings,
        *,
        resolve: Callable[[httpx.URL], Awaitable[Sequence[str]]] = resolve_public,
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        verify = certificates or httpx.create_ssl_context()
        timeout = httpx.Timeout(settings.recording_idle_timeout_s, connect=10.0, pool=None)
        self._vendor = httpx.AsyncClient(timeout=timeout, trust_env=False, verify=verify)
        # Connections to checked addresses are not kept: another name may stand for the same address.
        unshared = httpx.Limits(max_keepalive_connections=0)
        self._elsewhere = httpx.AsyncClient(timeout=timeout, trust_env=False, verify=verify, limits=unshared)

    async def close(self) -> None:
        """Close all connections."""
        await self._vendor.aclose()
        await self._elsewhere.aclose()

    async def fetch(self, access: RecordingAccess, part: PartFile) -> WavHeader:
        """Fill a part file with a whole recording, and read its header.

        :raises NotYet: it may be had later.
        :raises RecordingUnobtainable: it will not be had.
        :raises OSError: our own disk failed.
        """
        deadline_s = self._settings.recording_deadline_s
        try:
            async with asyncio.timeout(deadline_s), self._open(access) as response:
                await self._receive(response, part)
                return await run_blocking(partial(_read_whole, part, is_vouched_for=has_known_end(response)))
        except TimeoutError:
            raise NotYet(f"The download took longer than {deadline_s:g} s.") from None
        except httpx.TimeoutException:
            raise ServerTroubled("The server fell silent.") from None
        except httpx.TransportError as error:
            raise ServerTroubled(f"The connection failed or was cut off ({type(error).__name__}).") from None

    @asynccontextmanager
    async def _open(self, access: RecordingAccess) -> AsyncIterator[httpx.Response]:
        hop = first_hop(access.url, origin=access.origin)
        for _ in range(1 + _MAX_REDIRECTS):
            async with AsyncExitStack() as stack:
                response = await self._request(hop, access.headers)
                stack.push_async_callback(response.aclose)
                if response.status_code not in REDIRECTS:
                    check_answer(response, max_bytes=self._settings.recording_max_bytes, now=datetime.now(UTC))
                    yield response
                    return
            hop = next_hop(hop, response.headers.get("location"), origin=access.origin)
        raise RecordingUnobtainable(f"The vendor redirected more than {_MAX_REDIRECTS} times.")

    async def _request(self, hop: Hop, headers: Mapping[str, str]) -> httpx.Response:
        if hop.is_trusted:
            request = self._vendor.build_request("GET", hop.url, headers={**_PLAIN, **headers})
            try:
                return await self._vendor.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise VendorUnreachable(f"{hop.url.host} cannot be reached ({type(error).__name__}).") from None
        return await self._request_elsewhere(hop.url)

    async def _request_elsewhere(self, url: httpx.URL) -> httpx.Response:
        """Connect to an address that was checked, as the host whose name the URL holds."""
        failure: httpx.ConnectError | None = None
        for address in await self._resolve(url):
            request = self._elsewhere.build_request(
                "GET",
                url.copy_with(host=address),
                headers={**_PLAIN, "host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": host_of(url)},
            )
            try:
                return await self._elsewhere.send(request, stream=True)
            except httpx.ConnectError as error:
                failure = error
        raise failure or NotYet(f"The name {url.host} does not resolve.")

    async def _receive(self, response: httpx.Response, part: PartFile) -> None:
        block = bytearray()
        async for piece in response.aiter_raw():
            block += piece
            if part.length + len(block) > self._settings.recording_max_bytes:
                raise too_large(self._settings.recording_max_bytes)
            if len(block) >= _BLOCK_BYTES:
                await _write(part, block)
                block = bytearray()
        # Fewer bytes than Content-Length promised do not come this far: the client raises.
        await _write(part, block)
        if part.length == 0:
            check_start(b"")


#: The original bytes are wanted, not the same ones compressed.
_PLAIN: Final = {"accept-encoding": "identity"}


async def _write(part: PartFile, block: bytearray) -> None:
    if not block:
        return
    content = bytes(block)
    if part.length == 0 and not is_wav_start(content[:12]):
        check_start(content[:100])
    await run_blocking(partial(part.write, content))


def _read_whole(part: PartFile, *, is_vouched_for: bool) -> WavHeader:
    part.file.flush()
    try:
        header = read_wav_header(part.file)
    except NotWav as error:
        raise NotYet(f"The vendor sent a broken WAV file: {error}") from None
    if header.is_truncated and not is_vouched_for:
        raise NotYet("The recording was cut off: its header promises more sound.")
    return header
