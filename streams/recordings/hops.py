"""Which URL a download may go to next, and to which addresses.

The vendor's own origin is trusted wherever it is. Any other must be https, and every address that its name resolves to
must be public; the connection then goes to one of the addresses that were checked, so a name that resolves differently
a moment later gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import httpx

from streams.recordings.errors import HopRefused, NotYet

_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Translates into IPv4, private addresses included.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, kw_only=True, slots=True)
class Hop:
    """One request of a download."""

    url: httpx.URL
    #: The vendor's own origin, and never left since the first request: the key may go along.
    is_trusted: bool


def read_url(text: str) -> httpx.URL:
    """The URL as the HTTP client itself will read it.

    :raises HopRefused: it is no plain http or https URL.
    """
    try:
        url = httpx.URL(text)
        host = url.host
    except (httpx.InvalidURL, UnicodeError):
        # A name may be broken in ways that show only when it is decoded.
        raise HopRefused("The recording's URL cannot be read.") from None
    if url.scheme not in _DEFAULT_PORTS or not host:
        raise HopRefused(f"The recording's URL is of scheme {url.scheme!r}; only http and https are fetched.")
    if url.port is not None and url.port > 65535:
        raise HopRefused("The recording's URL names a port that does not exist.")
    if url.userinfo:
        raise HopRefused("The recording's URL holds a user name or password; such URLs are not fetched.")
    return url


def origin_of(url: httpx.URL) -> str:
    """`scheme://host:port`."""
    host = host_of(url)
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{url.port or _DEFAULT_PORTS[url.scheme]}"


def host_of(url: httpx.URL) -> str:
    """The host as it goes over the wire: names of other scripts are in their ASCII form."""
    return url.raw_host.decode("ascii")


def first_hop(text: str, *, origin: str) -> Hop:
    """Where a download begins.

    :param origin: the vendor's own.
    :raises HopRefused: see `read_url`.
    """
    url = read_url(text)
    return Hop(url=url, is_trusted=origin_of(url) == origin)


def next_hop(hop: Hop, location: str | None, *, origin: str) -> Hop:
    """Where a redirect leads; once the vendor's origin was left, nothing is trusted any more.

    :raises HopRefused: see `read_url`.
    """
    if not location:
        raise HopRefused("The server redirects without saying where to.")
    try:
        joined = str(hop.url.join(location))
    except httpx.InvalidURL:
        raise HopRefused("The server redirects to a URL that cannot be read.") from None
    url = read_url(joined)
    return Hop(url=url, is_trusted=hop.is_trusted and origin_of(url) == origin)


async def resolve_public(url: httpx.URL) -> tuple[str, ...]:
    """The addresses of a host that we know nothing of.

    :raises HopRefused: not https, or any of its addresses is not public.
    :raises NotYet: the name does not resolve.
    """
    host = host_of(url)
    if url.scheme != "https":
        raise HopRefused(f"The recording is at {host} over plain http; other hosts must use https.")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, url.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotYet(f"The name {host} does not resolve.") from None
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not all(is_public(address) for address in addresses):
        raise HopRefused(f"{host} has an address that is not public; recordings are not fetched from there.")
    return addresses


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, and stays so behind any translation that it names."""
    address: IpAddress = ipaddress.ip_address(text.partition("%")[0])
    return all(inner.is_global and not inner.is_multicast for inner in (address, *_translated(address)))


def _translated(address: IpAddress) -> tuple[IpAddress, ...]:
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(inner for inner in embedded if inner is not None)
