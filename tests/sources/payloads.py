"""Payload files, and deliveries made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from postcall.deliveries import RawDelivery, SignatureState
from postcall.settings import Configuration
from postcall.sources.layercode import Layercode, source

RECEIVED_AT = datetime(2026, 2, 3, 9, 16, 21, tzinfo=UTC)
SECRET = "whsec_test_123"
_FOLDER = Path(__file__).parent / "payloads"

ALL_PAYLOADS = sorted(path.stem for path in _FOLDER.glob("*.json"))


def read_payload(name: str) -> bytes:
    return (_FOLDER / f"{name}.json").read_bytes()


def make_delivery(
    body: bytes,
    *,
    signature: SignatureState = "verified",
    agent_id: str | None = None,
    session_id: str | None = None,
    received_at: datetime = RECEIVED_AT,
    receipt_id: str = "receipt-1",
) -> RawDelivery:
    return RawDelivery(
        receipt_id=receipt_id,
        source="layercode",
        body=body,
        received_at=received_at,
        signature=signature,
        agent_id=agent_id,
        session_id=session_id,
    )


def make_source(**environment: str) -> Layercode:
    return source(Configuration(environment={"LAYERCODE_WEBHOOK_SECRET": SECRET, **environment}))
