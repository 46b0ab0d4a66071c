"""Where the file of a stored recording is. Those in other stores are answered with their URI."""

from __future__ import annotations

from pathlib import Path

from projections.api.answers import RequestRefused
from projections.session_documents import RecordingFile


def find_local_file(data_dir: Path, recording: RecordingFile) -> Path:
    """The file of a recording.

    :raises RequestRefused: there is none here; says why.
    """
    if recording.state != "stored" or recording.uri is None:
        reason = recording.reason or "it has not been stored yet"
        raise RequestRefused(404, "no_recording", f"There is no recording of this session: {reason}")
    if "://" in recording.uri:
        raise RequestRefused(404, "recording_elsewhere", f"The recording is in another store: {recording.uri}")
    root = data_dir.resolve()
    path = (root / recording.uri).resolve()
    if not path.is_relative_to(root / "recordings") or not path.is_file():
        raise RequestRefused(404, "recording_missing", "The recording was stored, but its file is not there any more.")
    return path
