"""What the service and a query's child say to each other over a socket pair.

service → child   one line of JSON: the request
child → service   one line of JSON: {"tables": {"schema.table": what of it is wanted}}, or an error
service → child   that of each of these tables as an Arrow IPC stream, in the catalog's order
                  (both once more if the child finds that it needs other columns)
child → service   one line of JSON: the head of the answer, or an error; then its body in chunks, each after its
                  length, and a chunk of no length once the answer is whole
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BufferedRWPair
from typing import Any, Final, TypedDict

import orjson

from projections.query.catalog import Catalog

_LENGTH_BYTES: Final = 4
#: What the service holds of an answer at once.
_MAX_CHUNK_BYTES: Final = 256 * 1024
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


class Wanted(TypedDict):
    """Of a table: these columns of the rows in which these columns have these texts."""

    columns: list[str]
    equal: dict[str, str]


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


def write_chunks(file: BufferedRWPair, chunks: Iterable[bytes | memoryview]) -> None:
    """Send a body."""
    for chunk in chunks:
        for start in range(0, len(chunk), _MAX_CHUNK_BYTES):
            piece = memoryview(chunk)[start : start + _MAX_CHUNK_BYTES]
            file.write(len(piece).to_bytes(_LENGTH_BYTES, "big"))
            file.write(piece)
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
        if length > _MAX_CHUNK_BYTES:
            raise EOFError
        chunk = file.read(length)
        if len(chunk) < length:
            raise EOFError
        yield chunk
