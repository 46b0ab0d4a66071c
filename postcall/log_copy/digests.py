"""What a copy must keep of a record, and the hash over all records of a partition."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Protocol

_ABSENT = -1
_FIXED = struct.Struct(">qqq")
_LENGTH = struct.Struct(">q")


class CopiedRecord(Protocol):
    """aiokafka's `ConsumerRecord`, as far as a copy keeps it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def is_same(one: CopiedRecord, other: CopiedRecord) -> bool:
    """Whether two records are equal in all that a copy keeps."""
    return (one.offset, one.timestamp, one.key, one.value, tuple(one.headers)) == (
        other.offset,
        other.timestamp,
        other.key,
        other.value,
        tuple(other.headers),
    )


class PartitionDigest:
    """Count, bytes and SHA-256 of the records of a partition, from offset 0 on.

    Unlike `record_checksum` it covers the place and the time too, and tells an absent key or value from an empty one.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.records = 0
        self.content_bytes = 0

    def add(self, record: CopiedRecord) -> None:
        """Take the record that lies next."""
        self._sha256.update(_FIXED.pack(record.offset, record.timestamp, len(record.headers)))
        for part in _parts(record):
            self._sha256.update(_LENGTH.pack(_ABSENT if part is None else len(part)))
            if part:
                self._sha256.update(part)
                self.content_bytes += len(part)
        self.records += 1

    def copy(self) -> PartitionDigest:
        """Another one that has taken the same records."""
        twin = PartitionDigest()
        twin._sha256 = self._sha256.copy()
        twin.records = self.records
        twin.content_bytes = self.content_bytes
        return twin

    def hexdigest(self) -> str:
        """The hash, in hex."""
        return self._sha256.hexdigest()


def _parts(record: CopiedRecord) -> Iterable[bytes | None]:
    yield record.key
    yield record.value
    for name, value in record.headers:
        yield name.encode()
        yield value
