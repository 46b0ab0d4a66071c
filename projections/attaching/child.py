"""The process that clients attach to: it serves the copy, takes up each new one, and ends with its parent.

It is neither the writer nor a query's child: what clients make it do, and what they make it run out of, it does to
itself, and its parent starts it again. It gets what it needs in one line on stdin, and has no environment.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import duckdb

from projections.attaching.engine import AttachEngine
from projections.attaching.errors import CopiesHeld, TablesChanged
from projections.attaching.limits import count_removed_files, limit_this_process, yield_to_others

_INTERVAL_S: Final = 0.5
#: How long the server may take to answer, and how often it is asked.
_PATIENCE_S: Final = 30.0

Event = Literal["served", "copy_taken", "copy_refused", "ended", "failed"]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What to serve, and where."""

    extensions: tuple[str, ...]
    copy: str
    links: str
    host: str
    port: int
    token: str
    memory_mb: int
    max_old_copies: int

    def to_line(self) -> bytes:
        """For the child's stdin."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> NoReturn:
    """Serve until stdin ends, or until clients have to attach anew."""
    offer = Offer(**json.loads(sys.stdin.buffer.readline()))
    status = 1
    try:
        _serve(offer)
        status = 0
    except (CopiesHeld, TablesChanged) as reason:
        _tell("ended", reason=str(reason))
        status = 0
    except Exception as error:  # noqa: BLE001 - whatever it was, the parent tells it and starts the next one
        _tell("failed", reason=f"{type(error).__name__}: {error}")
    finally:
        # Without the interpreter's own ending: threads of the extension may still be answering.
        os._exit(status)


def _serve(offer: Offer) -> None:
    yield_to_others()
    engine = AttachEngine(map(Path, offer.extensions), links=Path(offer.links), memory_mb=offer.memory_mb)
    copy = Path(offer.copy)
    seen: tuple[int, ...] | None = None
    is_serving = False
    while not _has_ended(sys.stdin.fileno()):
        found = _identity(copy)
        if found in (None, seen):
            continue
        seen = found
        is_taken = _take(copy, engine)
        _check_old_copies(offer)
        if is_taken and not is_serving:
            engine.serve(host=offer.host, port=offer.port, token=offer.token)
            # Once it answers, all its threads are there; under the limit some could not be started.
            _ask_ourselves(offer)
            limit_this_process(offer.memory_mb)
            threading.Thread(target=_watch_ourselves, args=[offer], daemon=True).start()
            is_serving = True
            _tell("served")


def _take(copy: Path, engine: AttachEngine) -> bool:
    """Whether this copy could be shown.

    :raises TablesChanged: clients have to attach anew.
    """
    try:
        engine.show(copy)
    except (duckdb.Error, OSError) as error:
        _tell("copy_refused", reason=str(error))
        return False
    _tell("copy_taken")
    return True


def _check_old_copies(offer: Offer) -> None:
    """A scan that its client neither ends nor leaves keeps its copy on the disk, for as long as this process lives.

    :raises CopiesHeld: it is too many of them.
    """
    if count_removed_files() > offer.max_old_copies:
        raise CopiesHeld


def _has_ended(parent: int) -> bool:
    """Whether the parent is gone; waits a moment for it."""
    readable, _, _ = select.select([parent], [], [], _INTERVAL_S)
    return bool(readable)


def _ask_ourselves(offer: Offer) -> None:
    """Return once the server answers.

    :raises OSError: it does not.
    """
    connection = http.client.HTTPConnection(offer.host, offer.port, timeout=_PATIENCE_S)
    with closing(connection):
        connection.request("GET", "/")
        connection.getresponse().read()


def _watch_ourselves(offer: Offer) -> None:
    """End this process once it answers no more: out of memory, the server's threads end without the process."""
    while True:
        time.sleep(_PATIENCE_S)
        try:
            _ask_ourselves(offer)
        except (OSError, http.client.HTTPException) as error:
            _tell("failed", reason=f"It does not answer: {error!r}")
            os._exit(1)


def _identity(copy: Path) -> tuple[int, ...] | None:
    try:
        found = copy.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def _tell(event: Event, **facts: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()
