"""What a vendor must answer. A second vendor is one more module beside this one, and nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from postcall.deliveries import RawDelivery
from postcall.errors import PostcallError, UnreadableRecord
from postcall.events import DomainEvent
from postcall.requests import DownloadRecording


class SignatureRefused(PostcallError):
    """The delivery's signature is missing, malformed, stale or not made with a secret that we know."""


class UnreadableBody(UnreadableRecord):
    """The delivery's body cannot be read as this vendor's event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What the door reads of a body, at most: enough to key and to answer it."""

    session_id: str | None
    event_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The vendor's wish for the 200 that follows a durable append."""

    content_type: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingAccess:
    """How to fetch a recording: where, and with what; `headers` may hold the vendor's key.

    `origin` (`scheme://host:port`) is the vendor's own, wherever the URL points: the only one that may be sent those
    headers, and the only one that is trusted whatever its address.
    """

    url: str
    origin: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyProbe:
    """A GET that costs nothing, and that the vendor answers with 2xx if it accepts our key."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


class Source(Protocol):
    """A vendor of finished calls."""

    #: The name in URLs (`/webhooks/NAME`), in headers and in the column `source`.
    name: str

    def require_secrets(self) -> None:
        """Check that deliveries can be verified at all; only the door asks, since only it holds the secrets.

        :raises SettingsError: no secret is configured; says what to set.
        """

    def verify(self, body: bytes, headers: Mapping[str, str], *, agent_id: str | None, now: datetime) -> datetime:
        """Check the signature over the raw bytes in constant time, and return the time at which it was made.

        :param headers: names in lower case.
        :raises SignatureRefused: with the reason, in words that may be logged.
        """

    def identify(self, body: bytes) -> Identity:
        """Read session id and event type; never raises, whatever the bytes."""

    def reply(self, body: bytes, identity: Identity) -> Reply:
        """The answer that this vendor expects to this event; never raises."""

    def normalize(self, delivery: RawDelivery) -> Sequence[DomainEvent]:
        """Turn a delivery into domain events; none for a type that says nothing to us.

        A pure function: the same delivery always gives equal events.

        :raises UnreadableBody: with what is wrong, in words that may be logged.
        """

    def key_probe(self) -> KeyProbe | None:
        """How to learn whether the vendor accepts our key; None if there is none."""

    def recording_access(self, request: DownloadRecording) -> RecordingAccess:
        """Where and how to fetch a recording.

        :raises PostcallError: the URL is none that this vendor's key may go to.
        """
