"""What the service and a query's child say to each other over a socket pair.

service → child   one line of JSON: the request
child → service   one line of JSON: {"tables": [...]} wanted, or an error
service → child   each of these tables as an Arrow IPC stream, in that order
child → service   one line of JSON: the head of the answer, or an error; then its body in chunks, each after its
                  length, and a chunk of no length once the answer is whole
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedRWPair
from typing import Any, Final, TypedDict

import orjson

from projections.query.catalog import Catalog

_LENGTH_BYTES: Final = 4
#: Longer lines are not read: a request is a statement and a catalog, all others are shorter.
_MAX_LINE_BYTES: Final = 32 * 1024 * 1024


class Request(TypedDict):
    """A statement, its limits, and what it may refer to."""

    sql: str
    parameters: list[Any] | dict[str, Any] | None
    format: str
    max_rows: int
    threads: int
    memory_mb: int
    deadline_s: float
    catalog: Catalog


def write_line(file: BufferedRWPair, value: Any) -> None:
    """Send one line of JSON."""
    file.write(orjson.dumps(value) + b"\n")
    file.flush()


def read_line(file: BufferedRWPair) -> Any:
    """Receive one line of JSON.

    :raises EOFError: the other side is gone.
    """
    line = file.readline(_MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise EOFError
    return orjson.loads(line)


def write_chunks(file: BufferedRWPair, chunks: list[bytes]) -> None:
    """Send a body."""
    for chunk in chunks:
        if chunk:
            file.write(len(chunk).to_bytes(_LENGTH_BYTES, "big"))
            file.write(chunk)
    file.write(bytes(_LENGTH_BYTES))
    file.flush()


def read_chunks(file: BufferedRWPair) -> Iterator[bytes]:
    """Receive a body.

    :raises EOFError: the other side is gone before the body was whole.
    """
    while True:
        head = file.read(_LENGTH_BYTES)
        if len(head) < _LENGTH_BYTES:
            raise EOFError
        length = int.from_bytes(head, "big")
        if length == 0:
            return
        chunk = file.read(length)
        if len(chunk) < length:
            raise EOFError
        yield chunk
