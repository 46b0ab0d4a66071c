"""The worker of the recordings stage: `DownloadRecording` in; stored, failed or deferred out.

Without a vendor's API key the download is tried all the same, since a URL may need none. Where it is refused, the
outcome is final and its reason names the setting that is missing: waiting would not bring the key. The log says so once
at the start as well.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from postcall.dead_letters import ErrorClass
from postcall.errors import PostcallError
from postcall.outcomes import Outcome, RecordingDeferred, RecordingFailed, RecordingStored
from postcall.requests import DownloadRecording
from postcall.settings import Configuration, Settings
from postcall.sources import load_sources
from postcall.topics import RECORDING_REQUESTS, RECORDINGS, Topic
from streams.recordings.download import Downloader
from streams.recordings.errors import KeyRefused, NotYet, RecordingUnobtainable, ServerTroubled, VendorUnreachable
from streams.recordings.settings import RecordingSettings, missing_keys
from streams.recordings.store import RecordingStore, recording_uri, run_blocking
from streams.recordings.wav import NotWav, WavHeader, read_wav_header
from streams.retries import Backoff
from streams.worker import Blame, Performed

logger = logging.getLogger(__name__)

#: The first retries come quickly; ten attempts take about a quarter of an hour.
_BACKOFF: Final = Backoff(first_s=1.0, factor=2.25, cap_s=300.0, retry_after_cap_s=900.0)
# About twenty seconds.
_MAX_REFUSALS: Final = 5
# What comes after the last byte: reading the header, and the file's way to its final name.
_CLOSING_S: Final = 60.0


class RecordingsWorker:
    """A `streams.worker.Worker`. A recording that is in the store already is not fetched again."""

    stage = "recordings"
    requests: Topic = RECORDING_REQUESTS
    bulk_requests: Topic | None = None
    outcomes: Topic = RECORDINGS
    error_class: ErrorClass = "vendor"

    def __init__(self, configuration: Configuration) -> None:
        settings = configuration.read(Settings)
        self.concurrency = settings.recording_concurrency
        self._limits = configuration.read(RecordingSettings)
        self.limit_s = self._limits.recording_deadline_s + _CLOSING_S
        self._sources = load_sources(configuration)
        self._missing_keys = {name: missing_keys(configuration, name) for name in self._sources}
        self._store = RecordingStore(settings.data_dir)
        self._downloader: Downloader | None = None

    async def open(self) -> None:
        """See the protocol."""
        await run_blocking(self._store.open)
        self._downloader = Downloader(self._limits)
        for vendor, names in self._missing_keys.items():
            if names:
                logger.warning(
                    "Recordings cannot be downloaded until %s is set",
                    " and ".join(names),
                    extra={"action": "key_missing", "source": vendor},
                )

    async def close(self) -> None:
        """See the protocol."""
        if self._downloader is not None:
            await self._downloader.close()

    async def perform(self, request: DownloadRecording, *, attempt: int) -> Performed:
        """See the protocol."""
        blame = None
        try:
            outcome = await self._obtain(request, attempt)
        except NotYet as error:
            outcome = self._defer(request, attempt, error)
            blame = _blame(error)
        except KeyRefused as error:
            reason = self._explain(request, error)
            # Tried again a little later, to see whether it is refused alone.
            is_final = attempt >= _MAX_REFUSALS
            outcome = _failed(request, attempt, reason) if is_final else self._defer(request, attempt, NotYet(reason))
            blame = Blame(reason=reason)
        except RecordingUnobtainable as error:
            outcome = _failed(request, attempt, str(error))
        return Performed(outcome=outcome, blame=blame)

    def tell(self, outcome: Outcome) -> None:
        """See the protocol."""
        _log_outcome(outcome)

    async def _obtain(self, request: DownloadRecording, attempt: int) -> Outcome:
        uri = recording_uri(request)
        kept = await run_blocking(partial(_read_kept, self._store.path(uri)))
        if kept is not None:
            return _stored(request, attempt, uri, *kept)
        source = self._sources.get(request.vendor)
        if source is None:
            return _failed(request, attempt, f"This release knows no vendor {request.vendor!r}.")
        try:
            access = source.recording_access(request)
        except PostcallError as error:
            return _failed(request, attempt, str(error))
        assert self._downloader is not None, "perform before open"  # noqa: S101 - a broken contract is a bug
        async with self._store.begin() as part:
            header = await self._downloader.fetch(access, part)
            await run_blocking(partial(self._store.keep, part, uri))
            return _stored(request, attempt, uri, header, part.length, part.sha256)

    def _defer(self, request: DownloadRecording, attempt: int, error: NotYet) -> Outcome:
        if attempt >= self._limits.recording_max_attempts:
            return _failed(request, attempt, f"Given up after {attempt} attempts. {error}")
        pause_s = _BACKOFF.pause_s(attempt, retry_after_s=error.retry_after_s)
        return RecordingDeferred(
            session_id=request.session_id,
            request_id=request.request_id,
            attempt=attempt,
            not_before=datetime.now(UTC) + timedelta(seconds=pause_s),
            reason=str(error),
        )

    def _explain(self, request: DownloadRecording, error: KeyRefused) -> str:
        names = self._missing_keys.get(request.vendor)
        if names:
            return f"{error} {' and '.join(names)} is not set."
        return f"{error} Is the API key right, and may it read this recording?"


def _blame(error: NotYet) -> Blame | None:
    if not isinstance(error, ServerTroubled):
        return None
    is_certain = isinstance(error, VendorUnreachable)
    return Blame(reason=str(error), is_certain=is_certain, retry_after_s=error.retry_after_s)


def _read_kept(path: Path) -> tuple[WavHeader, int, str] | None:
    """What an earlier attempt kept, if its outcome did not reach the log; None if there is nothing, or no recording."""
    try:
        with path.open("rb") as file:
            header = read_wav_header(file)
            file.seek(0)
            return header, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotWav):
        return None


def _stored(
    request: DownloadRecording, attempt: int, uri: str, header: WavHeader, length: int, sha256: str
) -> RecordingStored:
    return RecordingStored(
        session_id=request.session_id,
        request_id=request.request_id,
        attempt=attempt,
        uri=uri,
        bytes=length,
        sha256=sha256,
        recording_duration_ms=header.duration_ms,
        sample_rate=header.sample_rate,
        channels=header.channels,
        codec=header.codec,
        stored_at=datetime.now(UTC),
    )


def _failed(request: DownloadRecording, attempt: int, reason: str) -> RecordingFailed:
    return RecordingFailed(session_id=request.session_id, request_id=request.request_id, attempt=attempt, reason=reason)


def _log_outcome(outcome: Outcome) -> None:
    facts = {"session_id": outcome.session_id, "attempt": outcome.attempt}
    match outcome:
        case RecordingStored():
            logger.info("Recording stored", extra={"action": "recording_stored", **facts, "bytes": outcome.bytes})
        case RecordingDeferred():
            logger.info("Recording deferred", extra={"action": "recording_deferred", **facts, "reason": outcome.reason})
        case RecordingFailed():
            logger.warning("Recording failed", extra={"action": "recording_failed", **facts, "reason": outcome.reason})
