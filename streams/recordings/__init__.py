"""Recordings: what the vendor has ready is fetched, checked and kept."""

from streams.recordings.worker import RecordingsWorker

__all__ = ["RecordingsWorker"]
