"""The vendor's signature: HMAC-SHA256 over the time, a full stop, and the exact body."""

from __future__ import annotations

import hashlib
import hmac

SIGNATURE_HEADER = "layercode-signature"


def sign(body: bytes, *, secret: str, at_s: int) -> str:
    """The header's value: `t=<unix seconds>,v1=<lower-case hex>`."""
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
