"""Certificates for one test run: an authority, a log's certificate, a client's, and an authority that nobody trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "open sesame"


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Files of PEM; the log's is for `127.0.0.1` alone, so `localhost` is a wrong name for it."""

    authority: Path
    other_authority: Path
    log_store: Path
    client_certificate: Path
    client_key: Path
    stranger: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them."""
    authority = trustme.CA()
    log = authority.issue_cert("127.0.0.1")
    client = authority.issue_cert("postcall@example.com", common_name="postcall")
    made = Certificates(
        authority=folder / "ca.pem",
        other_authority=folder / "other-ca.pem",
        log_store=folder / "log.pem",
        client_certificate=folder / "client.pem",
        client_key=folder / "client.key",
        stranger=folder / "stranger.pem",
    )
    authority.cert_pem.write_to_path(made.authority)
    other_authority = trustme.CA()
    other_authority.cert_pem.write_to_path(made.other_authority)
    stranger = other_authority.issue_cert("stranger@example.com")
    stranger.private_key_and_cert_chain_pem.write_to_path(made.stranger)
    made.log_store.write_bytes(_pkcs8(log) + log.cert_chain_pems[0].bytes())
    made.client_certificate.write_bytes(client.cert_chain_pems[0].bytes())
    made.client_key.write_bytes(_pkcs8(client, password=KEY_PASSWORD))
    return made


def _pkcs8(certificate: trustme.LeafCert, *, password: str | None = None) -> bytes:
    """Its key in the one form that Kafka reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
