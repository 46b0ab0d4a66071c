"""Where a download may go: which origins are trusted, which addresses are public."""

from __future__ import annotations

import httpx
import pytest

from streams.recordings.errors import HopRefused
from streams.recordings.hops import first_hop, is_public, next_hop, origin_of, read_url, resolve_public

API = "https://api.vendor.example:443"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.1",
        "224.0.0.1", "0.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a",
        "https://localhost/a",
        "https://[::1]/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://2130706433/a",
        "https://0x7f.1/a",
    ],
)
async def test_hosts_that_mean_this_machine_are_refused(url: str) -> None:
    with pytest.raises(HopRefused, match="not public"):
        await resolve_public(httpx.URL(url))


async def test_other_hosts_need_https() -> None:
    with pytest.raises(HopRefused, match="must use https"):
        await resolve_public(httpx.URL("http://1.1.1.1/a"))


@pytest.mark.parametrize(
    "url",
    [
        "https://user:password@api.vendor.example/a",
        "https://api.vendor.example@evil.example/a",
        "file:///etc/passwd",
        "ftp://api.vendor.example/a",
        "//api.vendor.example/a",
        "https:///a",
        "not a URL",
        "https://api.vendor.example:99999999/a",
        "https://api\x00.vendor.example/a",
        "https://xn--/a",
        "https://xn--a/a",
    ],
)
def test_urls_that_are_not_plain_are_refused(url: str) -> None:
    with pytest.raises(HopRefused):
        read_url(url)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.vendor.example/a", "https://api.vendor.example:443"),
        ("http://api.vendor.example:8080/a?b", "http://api.vendor.example:8080"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]:443"),
    ],
)
def test_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(read_url(url)) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://api.vendor.example/a",
        "https://api.vendor.example:8443/a",
        "https://api.vendor.example.evil.example/a",
        "https://evil.example/https://api.vendor.example/",
    ],
)
def test_only_the_vendors_origin_is_trusted(url: str) -> None:
    assert first_hop("https://api.vendor.example/a", origin=API).is_trusted
    assert not first_hop(url, origin=API).is_trusted


def test_trust_is_lost_with_the_first_foreign_hop_and_never_comes_back() -> None:
    start = first_hop("https://api.vendor.example/a", origin=API)
    inside = next_hop(start, "/b", origin=API)
    outside = next_hop(inside, "https://storage.example/c", origin=API)
    back = next_hop(outside, "https://api.vendor.example/d", origin=API)
    assert [hop.is_trusted for hop in (start, inside, outside, back)] == [True, True, False, False]


@pytest.mark.parametrize("location", [None, "", "file:///etc/passwd", "https://user@storage.example/"])
def test_redirects_to_nowhere_are_refused(location: str | None) -> None:
    with pytest.raises(HopRefused):
        next_hop(first_hop("https://api.vendor.example/a", origin=API), location, origin=API)
