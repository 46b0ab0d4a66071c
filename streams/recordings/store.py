"""The recording store: a local folder in which a file is either whole, under its name, or not there.

A recording is written to a part file, forced to disk, and renamed. Part files that no living process holds are removed
when the store is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import uuid4

from postcall.durable_files import sync_directory, sync_file
from postcall.requests import DownloadRecording

T = TypeVar("T")

FOLDER = "recordings"
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def recording_uri(request: DownloadRecording) -> str:
    """The recording's path, relative to the data directory.

    The name begins with the request's id, which we derive ourselves; the session id follows for people to see, but only
    if it is harmless in a path. So no id can point elsewhere, and no two requests share a file.
    """
    name = str(request.request_id)
    if _SAFE.fullmatch(request.session_id):
        name = f"{name}-{request.session_id}"
    return f"{FOLDER}/{name[:2]}/{name}.wav"


class PartFile:
    """A recording being written. Only the store makes them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.length = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of what was written, in lower-case hex."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> None:
        """Append and hash; blocks."""
        self.file.write(content)
        self._digest.update(content)
        self.length += len(content)


class RecordingStore:
    """Recordings under a data directory.

    Every method may raise `OSError`: the disk's failures are nobody's but ours.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._parts = data_dir / FOLDER / "parts"

    def open(self) -> None:
        """Make the folder, and remove the part files that crashed processes left."""
        self._parts.mkdir(parents=True, exist_ok=True)
        for orphan in self._parts.glob("*.part"):
            _remove_unless_held(orphan)

    def path(self, uri: str) -> Path:
        """Where a recording of this store is, or would be."""
        return self._data_dir / uri

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PartFile]:
        """A part file, gone when the block ends."""
        path = self._parts / f"{uuid4()}.part"
        with path.open("x+b") as file:
            try:
                # Held until it is closed: another process that opens the store sees that it is alive.
                fcntl.flock(file, fcntl.LOCK_EX)
                yield PartFile(file)
            finally:
                path.unlink(missing_ok=True)

    def keep(self, part: PartFile, uri: str) -> None:
        """Give a whole and verified part file its name, durably; blocks."""
        part.file.flush()
        sync_file(part.file.fileno())
        target = self.path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(part.file.name).replace(target)
        for folder in (target.parent, target.parent.parent):
            sync_directory(folder)


async def run_blocking(call: Callable[[], T]) -> T:
    """Run in a thread; when cancelled, wait for the thread's end first, so that it never outlives its file."""
    running = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _remove_unless_held(part: Path) -> None:
    with contextlib.suppress(FileNotFoundError), part.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        part.unlink()
