"""Raw deliveries: the records of `postcall.webhooks`. The value is the exact body; all else is in headers.

What is not noted here is lost for ever; what is secret is never noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from postcall.errors import UnreadableRecord
from postcall.messages import derive_id, sha256_hex
from postcall.records import Headers, NewRecord, Record
from postcall.topics import WEBHOOKS

#: How we know that the body is the vendor's.
SignatureState = Literal["verified", "unsigned", "rest", "imported", "relay"]
_SIGNATURE_STATES: Final[dict[str | None, SignatureState]] = {state: state for state in get_args(SignatureState)}


@dataclass(frozen=True, kw_only=True, slots=True)
class RawDelivery:
    """One delivery, before anything interprets it.

    `session_id` and `event_type` are what the source could read at the door: None and `unreadable` otherwise.
    """

    receipt_id: str
    source: str
    body: bytes
    received_at: datetime
    signature: SignatureState
    session_id: str | None = None
    event_type: str = "unreadable"
    agent_id: str | None = None
    signed_at: datetime | None = None
    content_type: str | None = None

    @property
    def delivery_id(self) -> str:
        """The same for a vendor's identical repeat: of source, body and signature time."""
        signed = self.signed_at.isoformat() if self.signed_at else ""
        return str(derive_id("delivery", self.source, sha256_hex(self.body), signed))

    def to_record(self) -> NewRecord:
        """The record to append."""
        headers = {
            "receipt-id": self.receipt_id,
            "delivery-id": self.delivery_id,
            "source": self.source,
            "agent-id": self.agent_id,
            "event-type": self.event_type,
            "received-at": self.received_at.astimezone(UTC).isoformat(),
            "signed-at": self.signed_at.astimezone(UTC).isoformat() if self.signed_at else None,
            "content-type": self.content_type,
            "signature": self.signature,
        }
        return NewRecord(
            topic=WEBHOOKS.name,
            key=self.session_id.encode() if self.session_id is not None else None,
            value=self.body,
            headers=_encode_headers(headers),
        )

    @classmethod
    def from_record(cls, record: Record) -> RawDelivery:
        """Read a record of `postcall.webhooks` back.

        :raises UnreadableRecord: a header that we always write is missing or malformed.
        """
        signature = _SIGNATURE_STATES.get(record.header("signature"))
        receipt_id, source, received_at = (record.header(name) for name in ("receipt-id", "source", "received-at"))
        if receipt_id is None or source is None or received_at is None:
            raise UnreadableRecord("The record was not written by postcall's ingest: its headers are not complete.")
        if signature is None:
            raise UnreadableRecord("The record does not say how its signature was verified.", error_class="signature")
        signed_at = record.header("signed-at")
        try:
            return cls(
                receipt_id=receipt_id,
                source=source,
                body=record.value,
                received_at=datetime.fromisoformat(received_at),
                signature=signature,
                session_id=record.key.decode() if record.key is not None else None,
                event_type=record.header("event-type") or "unreadable",
                agent_id=record.header("agent-id"),
                signed_at=datetime.fromisoformat(signed_at) if signed_at else None,
                content_type=record.header("content-type"),
            )
        except ValueError as error:
            raise UnreadableRecord("A header of the record is malformed.") from error


def _encode_headers(values: dict[str, str | None]) -> Headers:
    return tuple((name, value.encode("utf-8", "replace")) for name, value in values.items() if value is not None)
