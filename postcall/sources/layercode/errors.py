"""Why a delivery is refused. The door counts refusals by these classes; their text goes to the log only."""

from __future__ import annotations

from postcall.sources.base import SignatureRefused


class MissingSignature(SignatureRefused):
    """The request has no layercode-signature header."""


class MalformedSignature(SignatureRefused):
    """The layercode-signature header is not of the form t=<unix seconds>,v1=<hex>."""


class WrongSignature(SignatureRefused):
    """The signature was made with none of the configured secrets, or over other bytes."""


class StaleSignature(SignatureRefused):
    """The signature is authentic but too old or from the future."""


class SecretMissing(SignatureRefused):
    """No webhook secret is configured for this agent."""
