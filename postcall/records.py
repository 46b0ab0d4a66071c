"""Records of the log: one to append, one read back."""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRecord:
    """A record to append."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A record's place in the log."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A record read back."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers = ()

    @property
    def position(self) -> Position:
        """Where this record lies."""
        return Position(topic=self.topic, partition=self.partition, offset=self.offset)

    @property
    def next_offset(self) -> int:
        """The offset to read next."""
        return self.offset + 1

    def header(self, name: str) -> str | None:
        """A header's text, or None; bytes that are no UTF-8 are replaced, never raised on."""
        for key, value in self.headers:
            if key == name:
                return value.decode("utf-8", "replace")
        return None
