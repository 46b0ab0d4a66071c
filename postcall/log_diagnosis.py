"""Why the log cannot be spoken to: one sentence that names the setting to look at.

aiokafka's clients say only that they could not start; here a connection of its own is made to learn the reason.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    BrokerResponseError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from postcall.errors import LogUnavailable
from postcall.log_connection import LogConnection, LogSecurity

_LIMIT_MS: Final = 5_000
_NAMES: Final = "POSTCALL_KAFKA_"
#: OpenSSL's numbers for a certificate whose time has not come or is over, and for one of another name or address.
_NOT_IN_TIME, _NOT_ITS_NAME = (9, 10), (62, 64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """A broker, at the address that it tells clients to use."""

    node_id: int
    host: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """What the first server that answers tells of its cluster, and how long it took to."""

    cluster_id: str | None
    brokers: tuple[Broker, ...]
    round_trip_ms: float


async def explain_failure(log: LogConnection, failure: Exception) -> str:
    """Why a client failed to start, or to reach a broker."""
    if isinstance(failure, BrokerResponseError):
        return f"Kafka at {log} refuses what a client asks for: {failure.description}"
    try:
        cluster = await read_cluster(log)
    except LogUnavailable as error:
        return str(error)
    return next(iter(await find_unreachable(log, cluster)), f"The log at {log} did not answer, but does now.")


async def read_cluster(log: LogConnection) -> Cluster:
    """Ask one server after the other, on a connection that is only for that.

    :raises LogUnavailable: none answers; says why. A server that answers, but wrongly, says more than others.
    """
    said = f"No Kafka is named by {log}."
    for host, port, _family in collect_hosts(log.bootstrap_servers):
        try:
            return await _ask(host, port, log)
        except (KafkaError, OSError) as error:
            said = _explain(error, f"{host}:{port}", log.security)
            if not isinstance(error, ConnectionRefusedError | TimeoutError | socket.gaierror):
                break
    raise LogUnavailable(said)


async def find_unreachable(log: LogConnection, cluster: Cluster) -> list[str]:
    """A sentence for each broker that does not answer where it says it is."""
    said = []
    for broker in cluster.brokers:
        try:
            await read_cluster(LogConnection(f"{broker.host}:{broker.port}", log.security))
        except LogUnavailable as error:
            said.append(
                f"Broker {broker.node_id} tells clients to come to {broker.host}:{broker.port}"
                f" (advertised.listeners), but: {error}"
            )
    return said


async def _ask(host: str, port: int, log: LogConnection) -> Cluster:
    options = log.client_options()
    del options["bootstrap_servers"]
    connection = await create_conn(host, port, client_id="postcall", request_timeout_ms=_LIMIT_MS, **options)
    try:
        began_at_s = time.monotonic()
        metadata = (await connection.send(MetadataRequest([]))).to_object()
        return Cluster(
            cluster_id=metadata.get("cluster_id"),
            brokers=tuple(
                Broker(node_id=broker["node_id"], host=broker["host"], port=broker["port"])
                for broker in metadata["brokers"]
            ),
            round_trip_ms=(time.monotonic() - began_at_s) * 1000,
        )
    finally:
        connection.close()


def _explain(error: Exception, address: str, security: LogSecurity) -> str:
    for cause in _causes(error):
        if reason := _reason_of(cause, security):
            return f"Kafka at {address} {reason}"
        if isinstance(cause, socket.gaierror):
            return f"No address is known for {address}: see POSTCALL_KAFKA."
        if isinstance(cause, ConnectionRefusedError):
            return f"No Kafka answers at {address}. Is the log running?"
        if isinstance(cause, TimeoutError):
            return f"No Kafka answers at {address} in time: see POSTCALL_KAFKA and {_NAMES}SECURITY_PROTOCOL."
    return f"Kafka at {address} {_reason_of_closing(error, security)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason_of(cause: BaseException, security: LogSecurity) -> str | None:
    match cause:
        case SaslAuthenticationFailed():
            return (
                f"refuses the user {security.sasl_username}: see {_NAMES}SASL_USERNAME, {_NAMES}SASL_PASSWORD"
                f" and {_NAMES}SASL_MECHANISM={security.sasl_mechanism}."
            )
        case UnsupportedSaslMechanismError():
            return f"does not know {_NAMES}SASL_MECHANISM={security.sasl_mechanism}: ask for the one it has."
        case IllegalSaslStateError():
            return f"takes no password: see {_NAMES}SECURITY_PROTOCOL={security.protocol}."
        case ssl.SSLCertVerificationError():
            return _reason_of_distrust(cause, security)
        case ssl.SSLError() if "ALERT" in (cause.reason or ""):
            return _reason_of_being_distrusted(security)
        case _:
            return None


def _reason_of_distrust(error: ssl.SSLCertVerificationError, security: LogSecurity) -> str:
    if error.verify_code in _NOT_ITS_NAME:
        return "has a certificate for another name: use a name that is in it, in POSTCALL_KAFKA."
    if error.verify_code in _NOT_IN_TIME:
        return f"has a certificate that is not valid now: {error.verify_message}."
    trusted = security.ca_file or "none, so those that the system trusts"
    return f"has a certificate that nobody we trust vouches for: see {_NAMES}CA_FILE ({trusted})."


def _reason_of_being_distrusted(security: LogSecurity) -> str:
    if security.certificate_file is None:
        return f"asks for a certificate of ours: see {_NAMES}CERTIFICATE_FILE and {_NAMES}KEY_FILE."
    return f"does not accept our certificate: see {_NAMES}CERTIFICATE_FILE ({security.certificate_file})."


def _reason_of_closing(error: Exception, security: LogSecurity) -> str:
    setting = f"{_NAMES}SECURITY_PROTOCOL={security.protocol}"
    match security.protocol:
        case "PLAINTEXT":
            return f"closes the connection: it seems to ask for encryption or for a user, but {setting}."
        case "SASL_PLAINTEXT":
            return f"closes the connection: it seems to ask for encryption, but {setting}."
        case "SSL" if not isinstance(error, OSError):
            return f"closes the connection: it seems to ask for a user, but {setting}."
        case _:
            return f"closes the connection: it seems not to be encrypted, but {setting}."
