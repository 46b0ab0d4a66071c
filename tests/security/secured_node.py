"""A node of Apache Kafka that asks who is there, in every way that postcall can answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.logs.java_node import JavaNode
from tests.logs.node import free_ports
from tests.security.certificates import Certificates

#: Users by name, with their passwords; `admin` may do everything, the others what they are allowed.
PASSWORDS: Final = {
    "admin": "admin-secret",
    "postcall": "swordfish",
    "postcall-ingest": "ingest-secret",
    "postcall-streams": "streams-secret",
    "postcall-projections": "projections-secret",
    "stranger": "stranger-secret",
}
#: The client with this certificate.
CERTIFICATE_USER: Final = "CN=postcall"
#: Where the listener SASL_PLAINTEXT sends its clients.
NOWHERE: Final = "127.0.0.1:1"
_JAAS = "org.apache.kafka.common.security"


@dataclass(frozen=True, kw_only=True)
class SecuredNode:
    """The addresses of its listeners, by security protocol; PLAINTEXT is the administrators' own."""

    addresses: dict[str, str]
    certificates: Certificates


@contextlib.contextmanager
def secured_node(folder: Path, certificates: Certificates) -> Iterator[SecuredNode]:
    """Run one; nobody but `admin` and who comes in plainly may do anything, until a right is given.

    :raises NoKafka: it cannot be run here; says why in one line.
    """
    protocols = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    ports = dict(zip((*protocols, "CONTROLLER", "spare"), (*free_ports(), *free_ports(), *free_ports()), strict=True))
    addresses = {protocol: f"127.0.0.1:{ports[protocol]}" for protocol in protocols}
    users = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in PASSWORDS.items()]
    node = JavaNode(
        folder,
        properties=_properties(addresses, ports["CONTROLLER"], certificates),
        format_options=[part for user in users for part in ("--add-scram", user)],
    )
    node.address = addresses["PLAINTEXT"]
    try:
        node.start()
        yield SecuredNode(addresses=addresses, certificates=certificates)
    finally:
        node.close()


def _properties(addresses: dict[str, str], controller_port: int, certificates: Certificates) -> dict[str, str]:
    listeners = ",".join(f"{protocol}://{address}" for protocol, address in addresses.items())
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    sasl = {
        f"listener.name.{listener}.{mechanism}": module
        for listener in ("sasl_ssl", "sasl_plaintext")
        for mechanism, module in (
            ("scram-sha-512.sasl.jaas.config", f"{_JAAS}.scram.ScramLoginModule required;"),
            ("plain.sasl.jaas.config", f"{_JAAS}.plain.PlainLoginModule required {users};"),
        )
    }
    return sasl | {
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
        # One listener sends its clients where nobody is.
        "advertised.listeners": listeners.replace(addresses["SASL_PLAINTEXT"], NOWHERE),
        "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in (*addresses,))
        + ",CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.log_store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        # Of those who come without a password a certificate is asked for.
        "listener.name.ssl.ssl.client.auth": "required",
        # The rest of the certificate's name is the library's.
        "ssl.principal.mapping.rules": r"RULE:^CN=([^,]+),.*$/CN=$1/,DEFAULT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",
    }
