"""Requests and outcomes for the tests of slow work: downloads of recordings that nobody made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from postcall.log import encode
from postcall.outcomes import RecordingDeferred, RecordingStored
from postcall.records import NewRecord
from postcall.requests import DownloadRecording

AT = datetime(2026, 2, 3, 9, 16, 21, tzinfo=UTC)


def download(number: int) -> DownloadRecording:
    """One of many requests, each for a session of its own."""
    return DownloadRecording(
        session_id=f"s-{number}", vendor="layercode", url=f"https://api.example/recordings/{number}"
    )


def request_record(number: int) -> NewRecord:
    """The request as it lies in the log."""
    return encode(download(number), source="plan", time=AT)


def stored(asked: DownloadRecording, attempt: int) -> RecordingStored:
    """It worked."""
    return RecordingStored(
        session_id=asked.session_id,
        request_id=asked.request_id,
        attempt=attempt,
        uri="recordings/one.wav",
        bytes=44,
        sha256="0" * 64,
        stored_at=AT,
    )


def deferred(asked: DownloadRecording, attempt: int, *, wait: timedelta) -> RecordingDeferred:
    """Not yet."""
    return RecordingDeferred(
        session_id=asked.session_id,
        request_id=asked.request_id,
        attempt=attempt,
        not_before=datetime.now(UTC) + wait,
        reason="not ready",
    )
