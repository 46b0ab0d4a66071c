"""How the log is reached: its addresses, and what a secured Apache Kafka asks for.

The same options go to every client: aiokafka's own, and Faust's, which are aiokafka's behind other names.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from postcall.errors import SettingsError

#: A name, an address, or an IPv6 address in brackets; without a port it is Kafka's own.
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:,\[\]/]+)(:\d{1,5})?")

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSecurity:
    """What a client shows to the log, and what it demands of it.

    :param ca_file: certificates that may vouch for the log; None = those that the system trusts.
    :param certificate_file: this client's own certificate, for a log that asks for one (mTLS), with its `key_file`.
    :raises SettingsError: the parts do not fit together.
    """

    protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self._is_authenticated and not (self.sasl_username and self.sasl_password):
            raise SettingsError(
                f"POSTCALL_KAFKA_SECURITY_PROTOCOL={self.protocol} needs POSTCALL_KAFKA_SASL_USERNAME"
                " and POSTCALL_KAFKA_SASL_PASSWORD."
            )
        if self.key_file and not self.certificate_file:
            raise SettingsError("POSTCALL_KAFKA_KEY_FILE needs POSTCALL_KAFKA_CERTIFICATE_FILE.")
        forgotten = [name for name, value in self._only_for_tls() if value and not self._is_encrypted]
        if forgotten:
            raise SettingsError(
                f"{forgotten[0]} is set, but POSTCALL_KAFKA_SECURITY_PROTOCOL={self.protocol} does not encrypt."
            )
        if self.sasl_password and not self._is_authenticated:
            raise SettingsError(
                "POSTCALL_KAFKA_SASL_PASSWORD is set, but"
                f" POSTCALL_KAFKA_SECURITY_PROTOCOL={self.protocol} sends no password."
            )

    def client_options(self) -> dict[str, Any]:
        """The options of aiokafka's clients.

        :raises SettingsError: a file cannot be used.
        """
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self._is_encrypted:
            options["ssl_context"] = self._ssl_context()
        if self._is_authenticated:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        return options

    @property
    def _is_encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def _is_authenticated(self) -> bool:
        return self.protocol.startswith("SASL")

    def _only_for_tls(self) -> tuple[tuple[str, Path | None], ...]:
        return (
            ("POSTCALL_KAFKA_CA_FILE", self.ca_file),
            ("POSTCALL_KAFKA_CERTIFICATE_FILE", self.certificate_file),
        )

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"POSTCALL_KAFKA_CA_FILE: {self.ca_file} cannot be used: {error}.") from error
        context.sslobject_class = _QuicklyClosed
        if self.certificate_file:
            try:
                # A password that is None would be asked for at the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password=self.key_password or "")
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(
                    f"POSTCALL_KAFKA_CERTIFICATE_FILE: {self.certificate_file} and its key cannot be used: {error}."
                ) from error
        return context


class _QuicklyClosed(ssl.SSLObject):
    """Says goodbye and does not wait for the other side's: we close when there is nothing more that we want to read.

    Kafka answers a goodbye when the fetch that it holds open is over, half a second later, and uvloop often does not
    see that answer: closing a consumer then took the 30 s after which it gives up.
    """

    def unwrap(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            super().unwrap()


_PLAINTEXT: Final = LogSecurity()


@dataclass(frozen=True, slots=True)
class LogConnection:
    """Where the log is (`host:port,…`), and how it is spoken to.

    :raises SettingsError: an address is none.
    """

    bootstrap_servers: str
    security: LogSecurity = _PLAINTEXT

    def __post_init__(self) -> None:
        for server in self.bootstrap_servers.split(","):
            if not _SERVER.fullmatch(server.strip()):
                raise SettingsError(f"POSTCALL_KAFKA={self.bootstrap_servers}: {server!r} is not host:port.")

    def __str__(self) -> str:
        return self.bootstrap_servers

    def client_options(self) -> dict[str, Any]:
        """The options of aiokafka's clients.

        :raises SettingsError: a file of the security settings cannot be used.
        """
        return {"bootstrap_servers": self.bootstrap_servers} | self.security.client_options()
