"""Deliveries of a vendor, as the door would append them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from postcall.deliveries import RawDelivery
from postcall.records import NewRecord, Record

RECEIVED_AT = datetime(2026, 2, 3, 9, 16, 21, tzinfo=UTC)


def deliver(body: bytes | dict[str, Any], *, session_id: str | None = "s-1", source: str = "layercode") -> NewRecord:
    """A delivery with this body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    delivery = RawDelivery(
        receipt_id="r-1",
        source=source,
        body=raw,
        received_at=RECEIVED_AT,
        signature="verified",
        session_id=session_id,
    )
    return delivery.to_record()


def read_back(record: NewRecord, *, partition: int = 0, offset: int = 0) -> Record:
    """A record as if it had been read from there."""
    return Record(
        topic=record.topic,
        partition=partition,
        offset=offset,
        timestamp_ms=1_770_110_181_000,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )


def message_body(number: int) -> dict[str, Any]:
    """What a caller said, one of many."""
    return {
        "type": "message",
        "session_id": f"s-{number % 53}",
        "conversation_id": f"c-{number % 53}",
        "turn_id": f"t-{number}",
        "text": f"My boiler is leaking, call {number}.",
    }


def deliver_message(number: int) -> NewRecord:
    """A delivery of what a caller said."""
    body = message_body(number)
    return deliver(body, session_id=body["session_id"])


END_BODY: dict[str, Any] = {
    "type": "session.end",
    "session_id": "s-1",
    "conversation_id": "c-1",
    "agent_id": "agent-1",
    "started_at": "2026-02-03T09:14:02.117Z",
    "ended_at": "2026-02-03T09:16:20.940Z",
    "duration": 138823,
    "recording_status": "enabled",
    "transcript": [
        {"role": "assistant", "text": "Acme Heating, how can I help?", "timestamp": 1770110042117},
        {"role": "user", "text": "My boiler is leaking.", "timestamp": 1770110047000},
    ],
}

UPDATE_BODY: dict[str, Any] = {
    "type": "session.update",
    "session_id": "s-1",
    "conversation_id": "c-1",
    "recording_status": "completed",
    "recording_url": "https://api.layercode.com/v1/agents/agent-1/sessions/s-1/recording",
    "recording_duration": 138,
}
