"""Recording URLs: which agent they name, and whether the API key may go along."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from postcall.errors import PostcallError, SettingsError
from postcall.requests import DownloadRecording
from postcall.sources.base import RecordingAccess
from postcall.sources.layercode.settings import Settings

# Narrower than the standard, so that no two URL parsers can see different hosts in it.
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
_PRINTABLE = re.compile(r"[!-\[\]-~]+", re.ASCII)
_AGENT = re.compile(r"/agents/(?P<agent>[A-Za-z0-9._~-]+)/sessions/")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class UnusableUrl(PostcallError):
    """The recording's URL is no plain http or https URL."""


def agent_in_url(url: str | None) -> str | None:
    """The agent that a recording's URL names."""
    try:
        found = _AGENT.search(urlsplit(url or "").path)
    except ValueError:
        return None
    return found["agent"] if found else None


def read_origin(url: str) -> str:
    """`scheme://host:port` of a URL.

    :raises UnusableUrl: not http or https, with a user name, or with characters that parsers read differently.
    """
    head, slash, rest = url.partition("://")
    authority, *_ = re.split(r"(?=[/?#])", rest, maxsplit=1)
    found = _ORIGIN.fullmatch(f"{head}{slash}{authority}".lower()) if _PRINTABLE.fullmatch(url) else None
    if found is None:
        raise UnusableUrl
    port = found["port"] or _DEFAULT_PORTS[found["scheme"]]
    return f"{found['scheme']}://{found['host']}:{int(port)}"


def read_api_origin(settings: Settings) -> str:
    """The one origin that the API key may go to.

    :raises SettingsError: the setting is no URL.
    """
    try:
        return read_origin(settings.api_url)
    except UnusableUrl:
        raise SettingsError(f"LAYERCODE_API_URL: {settings.api_url!r} is no http or https URL.") from None


def access_recording(request: DownloadRecording, settings: Settings, *, api_origin: str) -> RecordingAccess:
    """How to fetch a recording: with the key on the API's own origin, without it anywhere else.

    :raises UnusableUrl: see `read_origin`.
    """
    origin = read_origin(request.url)
    may_have_key = origin == api_origin and settings.api_key
    headers = {"authorization": f"Bearer {settings.api_key}"} if may_have_key else {}
    return RecordingAccess(url=request.url, origin=api_origin, headers=headers)
