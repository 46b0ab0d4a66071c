"""The recordings worker against servers that behave and misbehave: what is kept, what is deferred, what has failed."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postcall.outcomes import Outcome, RecordingDeferred, RecordingFailed, RecordingStored
from postcall.requests import DownloadRecording
from postcall.settings import Configuration
from streams.recordings import RecordingsWorker
from tests.streams.loopback import (
    SILENCE,
    LoopbackServer,
    chunked_response,
    endless_response,
    response,
    serving,
)
from tests.waiting import eventually

KEY = "the-vendors-key"


def make_wav(seconds: int = 1) -> bytes:
    sound = bytes(16000 * seconds)
    layout = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


WAV = make_wav()


@pytest.fixture
async def vendor() -> AsyncIterator[LoopbackServer]:
    async with serving() as server:
        yield server


def configure(
    data_dir: Path, vendor: LoopbackServer, *, key: str | None = KEY, limits: Mapping[str, Any] | None = None
) -> Configuration:
    environment = {"LAYERCODE_API_URL": f"{vendor.origin}/v1", **({"LAYERCODE_API_KEY": key} if key else {})}
    return Configuration(environment=environment, flags={"data_dir": data_dir, **(limits or {})})


async def perform(configuration: Configuration, url: str, *, attempt: int = 1) -> Outcome:
    worker = RecordingsWorker(configuration)
    await worker.open()
    try:
        request = DownloadRecording(session_id="session1", vendor="layercode", url=url)
        return (await worker.perform(request, attempt=attempt)).outcome
    finally:
        await worker.close()


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_recording_is_stored_whole_with_its_hash_and_measures(tmp_path: Path, vendor: LoopbackServer) -> None:
    url = vendor.answer("/v1/recording", response(200, WAV))
    outcome = await perform(configure(tmp_path, vendor), url)
    assert isinstance(outcome, RecordingStored)
    assert (outcome.bytes, outcome.sha256) == (len(WAV), hashlib.sha256(WAV).hexdigest())
    assert (outcome.recording_duration_ms, outcome.sample_rate, outcome.channels) == (1000, 8000, 1)
    assert outcome.codec == "pcm_s16le"
    assert files_under(tmp_path) == [tmp_path / outcome.uri]
    assert (tmp_path / outcome.uri).read_bytes() == WAV
    assert vendor.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert vendor.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(chunked_response(WAV[:7], WAV[7:]), id="chunked"),
        pytest.param(endless_response(WAV), id="until the connection closes"),
        pytest.param(response(200, make_wav(200)), id="more than one block"),
    ],
)
async def test_however_the_bytes_come_they_are_stored(tmp_path: Path, vendor: LoopbackServer, answer: bytes) -> None:
    outcome = await perform(configure(tmp_path, vendor), vendor.answer("/v1/recording", answer))
    assert isinstance(outcome, RecordingStored)
    assert (tmp_path / outcome.uri).stat().st_size == outcome.bytes


async def test_what_is_stored_is_not_fetched_again(tmp_path: Path, vendor: LoopbackServer) -> None:
    url = vendor.answer("/v1/recording", response(200, WAV), response(500))
    first = await perform(configure(tmp_path, vendor), url)
    again = await perform(configure(tmp_path, vendor), url)
    assert isinstance(first, RecordingStored)
    assert isinstance(again, RecordingStored)
    assert (again.uri, again.sha256, again.bytes) == (first.uri, first.sha256, first.bytes)
    assert again.recording_duration_ms == first.recording_duration_ms
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        *[pytest.param(response(status), f"HTTP {status}", id=f"{status}")
          for status in (202, 203, 204, 206, 304, 404, 408, 409, 425, 429, 500, 502, 503, 504)],
        pytest.param(response(200, b'{"status": "in_progress"}'), "JSON in place of audio", id="JSON"),
        pytest.param(response(200, b"\n<!DOCTYPE html><p>Hi"), "web page in place of audio", id="HTML"),
        pytest.param(response(200), "empty body", id="empty"),
        pytest.param(response(200, b"RIFF"), "no WAV file", id="four bytes"),
        pytest.param(response(200, b"ID3\x04 an MP3 file"), "no WAV file", id="MP3"),
        pytest.param(response(200, WAV[:30]), "broken WAV", id="half a header"),
        pytest.param(response(200, WAV, {"Content-Length": "99999"}), "cut off", id="shorter than promised"),
        pytest.param(chunked_response(WAV[:5000], is_whole=False), "cut off", id="last chunk missing"),
        pytest.param(endless_response(WAV[:5000]), "cut off", id="shorter than its header says"),
        pytest.param(b"nonsense\r\n\r\n", "connection failed", id="no HTTP"),
    ],
)  # fmt: skip
async def test_what_may_still_come_is_deferred_and_leaves_no_file(
    tmp_path: Path, vendor: LoopbackServer, answer: bytes, reason: str
) -> None:
    outcome = await perform(configure(tmp_path, vendor), vendor.answer("/v1/recording", answer))
    assert isinstance(outcome, RecordingDeferred)
    assert reason in outcome.reason
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("status", [400, 401, 402, 403, 405, 410, 451])
async def test_a_final_refusal_has_failed(tmp_path: Path, vendor: LoopbackServer, status: int) -> None:
    url = vendor.answer("/v1/recording", response(status))
    outcome = await perform(configure(tmp_path, vendor), url, attempt=5)
    assert isinstance(outcome, RecordingFailed)
    assert f"HTTP {status}" in outcome.reason
    assert KEY not in outcome.reason


@pytest.mark.parametrize(("status", "is_final"), [(400, False), (401, False), (403, False), (410, True), (451, True)])
async def test_a_refusal_that_others_may_share_is_tried_again(
    tmp_path: Path, vendor: LoopbackServer, status: int, *, is_final: bool
) -> None:
    outcome = await perform(configure(tmp_path, vendor), vendor.answer("/v1/recording", response(status)))
    assert outcome.is_final is is_final


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refused_key_and_a_missing_key_are_told_apart(
    tmp_path: Path, vendor: LoopbackServer, status: int
) -> None:
    url = vendor.answer("/v1/recording", response(status))
    with_key = await perform(configure(tmp_path, vendor), url, attempt=5)
    without = await perform(configure(tmp_path, vendor, key=None), url, attempt=5)
    assert isinstance(with_key, RecordingFailed)
    assert isinstance(without, RecordingFailed)
    assert "Is the API key right" in with_key.reason
    assert "LAYERCODE_API_KEY is not set" in without.reason


async def test_a_url_that_needs_no_key_works_without_one(tmp_path: Path, vendor: LoopbackServer) -> None:
    outcome = await perform(configure(tmp_path, vendor, key=None), vendor.answer("/v1/recording", response(200, WAV)))
    assert isinstance(outcome, RecordingStored)
    assert "authorization" not in vendor.requests[0].headers


async def test_a_missing_key_is_said_at_the_start(
    tmp_path: Path, vendor: LoopbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    worker = RecordingsWorker(configure(tmp_path, vendor, key=None))
    await worker.open()
    await worker.close()
    assert "LAYERCODE_API_KEY" in caplog.text


async def test_pauses_grow_and_begin_with_about_a_second(tmp_path: Path, vendor: LoopbackServer) -> None:
    url = vendor.answer("/v1/recording", response(503))
    for attempt, least_s, most_s in ((1, 0.8, 1.2), (4, 9.1, 13.7), (9, 240.0, 360.0)):
        after_s, before_s = await pause_of(configure(tmp_path, vendor), url, attempt)
        assert after_s <= most_s
        assert before_s >= least_s


@pytest.mark.parametrize(("retry_after", "pause_s"), [("120", 120), ("999999", 900)])
async def test_retry_after_is_honoured_up_to_a_cap(
    tmp_path: Path, vendor: LoopbackServer, retry_after: str, pause_s: float
) -> None:
    url = vendor.answer("/v1/recording", response(429, headers={"Retry-After": retry_after}))
    after_s, before_s = await pause_of(configure(tmp_path, vendor), url, 1)
    assert after_s <= pause_s <= before_s


async def pause_of(configuration: Configuration, url: str, attempt: int) -> tuple[float, float]:
    """The pause that an attempt led to, as seen after it and before it: it is between the two."""
    before = datetime.now(UTC)
    outcome = await perform(configuration, url, attempt=attempt)
    after = datetime.now(UTC)
    assert isinstance(outcome, RecordingDeferred)
    return (outcome.not_before - after) / timedelta(seconds=1), (outcome.not_before - before) / timedelta(seconds=1)


async def test_the_last_attempt_has_failed_and_says_why(tmp_path: Path, vendor: LoopbackServer) -> None:
    outcome = await perform(configure(tmp_path, vendor), vendor.answer("/v1/recording", response(409)), attempt=10)
    assert isinstance(outcome, RecordingFailed)
    assert "10 attempts" in outcome.reason
    assert "HTTP 409" in outcome.reason


@pytest.mark.parametrize("limit", ["recording_idle_timeout_s", "recording_deadline_s"])
async def test_a_silent_server_does_not_hold_a_download(tmp_path: Path, vendor: LoopbackServer, limit: str) -> None:
    outcome = await perform(configure(tmp_path, vendor, limits={limit: 0.2}), vendor.answer("/v1/recording", SILENCE))
    assert isinstance(outcome, RecordingDeferred)


async def test_nobody_listening_is_deferred(tmp_path: Path) -> None:
    async with serving() as gone:
        pass
    outcome = await perform(configure(tmp_path, gone), f"{gone.origin}/v1/recording")
    assert isinstance(outcome, RecordingDeferred)


@pytest.mark.parametrize(
    "answer", [response(200, WAV), chunked_response(WAV), endless_response(WAV)], ids=["told", "chunked", "endless"]
)
async def test_a_recording_above_the_limit_has_failed(tmp_path: Path, vendor: LoopbackServer, answer: bytes) -> None:
    configuration = configure(tmp_path, vendor, limits={"recording_max_bytes": 1000})
    outcome = await perform(configuration, vendor.answer("/v1/recording", answer))
    assert isinstance(outcome, RecordingFailed)
    assert "POSTCALL_RECORDING_MAX_BYTES" in outcome.reason
    assert files_under(tmp_path) == []


async def test_redirects_within_the_vendors_origin_keep_the_key(tmp_path: Path, vendor: LoopbackServer) -> None:
    vendor.answer("/v1/moved", response(200, WAV))
    url = vendor.answer("/v1/recording", response(307, headers={"Location": "/v1/moved"}))
    assert isinstance(await perform(configure(tmp_path, vendor), url), RecordingStored)
    assert [request.headers["authorization"] for request in vendor.requests] == [f"Bearer {KEY}"] * 2


async def test_redirects_have_an_end(tmp_path: Path, vendor: LoopbackServer) -> None:
    url = vendor.answer("/v1/recording", response(302, headers={"Location": "/v1/recording"}))
    outcome = await perform(configure(tmp_path, vendor), url)
    assert isinstance(outcome, RecordingFailed)
    assert len(vendor.requests) == 6


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_redirect_inwards_is_refused_without_a_connection(
    tmp_path: Path, vendor: LoopbackServer, scheme: str, host: str
) -> None:
    async with serving() as canary:
        location = f"{scheme}://{host}:{canary.port}/steal"
        url = vendor.answer("/v1/recording", response(302, headers={"Location": location}))
        outcome = await perform(configure(tmp_path, vendor), url)
        assert isinstance(outcome, RecordingFailed)
        assert canary.connections == 0


async def test_a_recording_url_inwards_is_refused_without_a_connection(tmp_path: Path, vendor: LoopbackServer) -> None:
    async with serving() as canary:
        outcome = await perform(configure(tmp_path, vendor), canary.answer("/recording", response(200, WAV)))
        assert isinstance(outcome, RecordingFailed)
        assert canary.connections == 0


async def test_a_vendor_that_is_not_known_has_failed(tmp_path: Path, vendor: LoopbackServer) -> None:
    worker = RecordingsWorker(configure(tmp_path, vendor))
    request = DownloadRecording(session_id="session1", vendor="another", url=f"{vendor.origin}/v1/recording")
    assert isinstance((await worker.perform(request, attempt=1)).outcome, RecordingFailed)


async def test_a_cancelled_download_leaves_nothing(tmp_path: Path, vendor: LoopbackServer) -> None:
    url = vendor.answer("/v1/recording", SILENCE)
    running = asyncio.create_task(perform(configure(tmp_path, vendor), url))
    await eventually(lambda: bool(vendor.requests))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert files_under(tmp_path) == []


async def test_a_disk_that_fails_is_our_failure_and_no_outcome(tmp_path: Path, vendor: LoopbackServer) -> None:
    url = vendor.answer("/v1/recording", response(200, WAV))
    worker = RecordingsWorker(configure(tmp_path, vendor))
    await worker.open()
    (tmp_path / "recordings" / "parts").rmdir()
    request = DownloadRecording(session_id="session1", vendor="layercode", url=url)
    with pytest.raises(OSError, match="No such file"):
        await worker.perform(request, attempt=1)
    await worker.close()
