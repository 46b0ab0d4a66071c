"""What tells a record from another one at the same place of another log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol


class RecordContent(Protocol):
    """What a record holds: both our own `Record` and aiokafka's have it."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def record_checksum(record: RecordContent) -> str:
    """SHA-256 of key, value and headers, in hex."""
    digest = hashlib.sha256()
    parts = [record.key or b"", record.value or b""]
    for name, value in record.headers:
        parts += [name.encode(), value or b""]
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()
