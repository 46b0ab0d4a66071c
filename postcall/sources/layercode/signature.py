"""The header `layercode-signature`: `t=<unix seconds>,v1=<hex>`, HMAC-SHA256 over `<t>.<raw body>`.

The parts may come in any order, with blanks, with several `v1` and with keys that we do not know. The signed text
is built from `t` as it was received. The secret is used as UTF-8 text, without decoding or stripping a prefix.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from postcall.sources.layercode.errors import MalformedSignature, MissingSignature, StaleSignature, WrongSignature

HEADER = "layercode-signature"
# More digits than any clock needs, and few enough for `int`.
_TIMESTAMP = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignatureHeader:
    """The header's parts: `t` as received, and each `v1` in lower case."""

    timestamp: str
    digests: tuple[bytes, ...]


def read_header(value: str | None) -> SignatureHeader:
    """Take the header apart.

    :raises MissingSignature: there is none.
    :raises MalformedSignature: it has not exactly one time, or no `v1`.
    """
    if not value:
        raise MissingSignature
    parts = [tuple(part.strip().partition("=")) for part in value.split(",")]
    timestamps = [text.strip() for key, _, text in parts if key.strip() == "t"]
    # A digest that is no ASCII is compared like any other: as bytes, and in vain.
    digests = tuple(text.strip().lower().encode("utf-8", "replace") for key, _, text in parts if key.strip() == "v1")
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]) or not digests:
        raise MalformedSignature
    return SignatureHeader(timestamp=timestamps[0], digests=digests)


def check_signature(
    value: str | None, body: bytes, secrets: Iterable[bytes], *, now: datetime, tolerance_s: int
) -> datetime:
    """Check a signature header over the raw body; returns the time at which it was made.

    Age is judged after authenticity, so that a report of a wrong clock can be believed.

    :raises SignatureRefused: with the reason.
    """
    header = read_header(value)
    signed = header.timestamp.encode() + b"." + body
    if not any(_is_signed_with(secret, signed, header.digests) for secret in secrets):
        raise WrongSignature
    skew_s = now.timestamp() - int(header.timestamp)
    if abs(skew_s) > tolerance_s:
        raise StaleSignature(_explain_skew(skew_s, tolerance_s))
    return datetime.fromtimestamp(int(header.timestamp), UTC)


def _is_signed_with(secret: bytes, signed: bytes, digests: tuple[bytes, ...]) -> bool:
    expected = hmac.digest(secret, signed, "sha256").hex().encode()
    return any(hmac.compare_digest(expected, digest) for digest in digests)


def _explain_skew(skew_s: float, tolerance_s: int) -> str:
    direction = "old" if skew_s > 0 else "in the future"
    return (
        f"Clock skew: the signature is authentic but {abs(skew_s):.0f} s {direction}, and {tolerance_s} s are allowed. "
        "It is a delivery sent again later, or this machine's clock is wrong."
    )
