"""Messages: the typed values of all topics but `postcall.webhooks`, and what identifies them.

A message's id is a UUIDv5 of what it says, never of where it lies, so a repeated delivery is the same event and
moving a log changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar
from uuid import UUID, uuid5

import orjson
from pydantic import BaseModel, ConfigDict

from postcall.topics import Topic

_NAMESPACE = UUID("6f0b1f3e-5a43-5d0b-9d6c-2b1f7f3d7c11")


class Message(BaseModel):
    """A value of the log. Subclasses are named as their CloudEvents type is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[Topic]
    #: Counts the shapes that this type has been written in.
    schema_version: ClassVar[int] = 1

    @property
    def subject(self) -> str | None:
        """The session id, or what else the record is about; also the record's key."""
        raise NotImplementedError

    def identity(self, source: str) -> UUID:
        """The CloudEvents id, given the CloudEvents source."""
        raise NotImplementedError

    def canonical_json(self) -> bytes:
        """The value's bytes: sorted keys, no blanks; equal messages give equal bytes."""
        return canonical_json(self.model_dump(mode="json"))


class SessionMessage(Message):
    """A message about one session."""

    session_id: str

    @property
    def subject(self) -> str:
        """The session id."""
        return self.session_id


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no blanks."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def sha256_hex(data: bytes) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def derive_id(*parts: str) -> UUID:
    """A UUIDv5 of the parts, told apart whatever they contain."""
    return uuid5(_NAMESPACE, orjson.dumps(parts).decode())
