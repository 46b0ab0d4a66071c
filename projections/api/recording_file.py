"""A stored recording as an HTTP answer: the local file, whole or in ranges; of another store, its URI."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from projections.api.answers import PRIVATE_HEADERS, RequestRefused, refuse
from projections.session_documents import RecordingFile

_REFUSED_RANGE: Final = RequestRefused(416, "wrong_range", "The Range header asks for what the file does not have.")


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


class RecordingResponse(FileResponse):
    """The file; a range that it does not have is refused in the shape of all errors."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, media_type="audio/wav", filename=path.name, headers=PRIVATE_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_refused = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start" and message["status"] in {400, 416}:
                is_refused = True
            if not is_refused:
                await send(message)

        await super().__call__(scope, receive, send_unless_refused)
        if is_refused:
            await refuse(_REFUSED_RANGE)(scope, receive, send)
