"""The API key goes to the API's own origin and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postcall.errors import PostcallError, SettingsError
from postcall.requests import DownloadRecording
from postcall.sources.base import RecordingAccess
from postcall.sources.layercode.recordings import UnusableUrl, agent_in_url
from tests.sources.payloads import make_source

KEY = "lk_secret"
# A machine that is busy with other things is no failure.
patient = settings(deadline=None)


def access(url: str, **environment: str) -> RecordingAccess:
    request = DownloadRecording(session_id="s1", vendor="layercode", url=url)
    return make_source(LAYERCODE_API_KEY=KEY, **environment).recording_access(request)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.layercode.com/v1/agents/a/sessions/s/recording",
        "https://api.layercode.com:443/other",
        "HTTPS://API.Layercode.com/v1",
        "https://api.layercode.com?x=@evil.example",
    ],
)
def test_the_apis_origin_gets_the_key(url: str) -> None:
    given_access = access(url)
    assert given_access.headers == {"authorization": f"Bearer {KEY}"}
    assert given_access.origin == "https://api.layercode.com:443"
    assert given_access.url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.layercode.com/v1/agents/a/sessions/s/recording",
        "https://api.layercode.com:8443/x",
        "https://api.layercode.com.evil.example/x",
        "https://api.layercode.com./x",
        "https://evil.example/api.layercode.com",
        "https://evil.example#https://api.layercode.com",
        "https://[::1]/x",
        "http://169.254.169.254/latest",
    ],
)
def test_any_other_origin_goes_without_the_key(url: str) -> None:
    assert access(url).headers == {}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "recording.wav",
        "//api.layercode.com/x",
        "ftp://api.layercode.com/x",
        "file:///etc/passwd",
        "https://",
        "https://user@api.layercode.com/x",
        "https://api.layercode.com\\@evil.example/x",
        "https://api.layercode.com/\nx",
        "https://api.layercode.com/é",
        "https://аpi.layercode.com/x",
        "https://api.layercode.com:port/x",
    ],
)
def test_what_parsers_could_read_differently_is_refused(url: str) -> None:
    with pytest.raises(UnusableUrl):
        access(url)


@patient
@given(st.text())
def test_any_text_is_a_url_without_the_key_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://evil.example{text}"):
        try:
            given_access = access(url)
        except PostcallError:
            continue
        assert given_access.headers == {} or given_access.origin == "https://api.layercode.com:443"


def test_another_api_has_its_own_origin() -> None:
    given_access = access("http://127.0.0.1:9000/v1/x", LAYERCODE_API_URL="http://127.0.0.1:9000/v1")
    assert given_access.headers == {"authorization": f"Bearer {KEY}"}


def test_without_a_key_no_header_is_made_up() -> None:
    request = DownloadRecording(session_id="s1", vendor="layercode", url="https://api.layercode.com/v1/x")
    assert make_source().recording_access(request).headers == {}


def test_an_api_url_that_is_none_is_a_users_mistake() -> None:
    with pytest.raises(SettingsError, match="LAYERCODE_API_URL"):
        make_source(LAYERCODE_API_URL="layercode")


@pytest.mark.parametrize(
    ("url", "agent"),
    [
        ("https://api.layercode.com/v1/agents/qz81/sessions/s/recording", "qz81"),
        ("https://api.layercode.com/v1/sessions/s/recording", None),
        ("https://[broken/agents/a/sessions/", None),
        (None, None),
    ],
)
def test_a_recordings_url_names_its_agent(url: str | None, agent: str | None) -> None:
    assert agent_in_url(url) == agent
