"""Does the log answer, at every address that it tells, and who else could read along?"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from postcall.doctor.findings import Finding, Patient, State
from postcall.errors import LogUnavailable
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.log_diagnosis import find_failure


async def check_log(patient: Patient) -> AsyncIterator[Finding]:
    """:raises LogUnavailable: it does not answer; says why."""
    try:
        async with open_admin(patient.log) as admin:
            started_at_s = time.monotonic()
            cluster = await admin.describe_cluster()
            round_trip_ms = (time.monotonic() - started_at_s) * 1000
    except LogUnavailable:
        if not patient.is_embedded or patient.instance is not None:
            raise
        yield _found("skipped", f"The embedded log does not run at {patient.log}; postcall up starts it.")
        return
    brokers = cluster["brokers"]
    yield _found(
        "ok",
        f"{'The embedded log' if patient.is_embedded else 'Kafka'} at {patient.log}: cluster {cluster['cluster_id']},"
        f" {len(brokers)} broker{'s' * (len(brokers) != 1)}, round trip {round_trip_ms:.1f} ms.",
    )
    for broker in brokers:
        if failure := await find_failure(_connection_to(broker, patient.log)):
            yield _found(
                "failed",
                f"Broker {broker['node_id']} says it is at {broker['host']}:{broker['port']}. {failure}",
                "If the address is wrong: the broker's advertised.listeners.",
            )


async def check_security(patient: Patient) -> AsyncIterator[Finding]:
    """Who could read along, and who is let in."""
    security = patient.log.security
    if patient.is_embedded:
        yield _secured("ok", "The embedded log listens on this machine's loopback only.")
    elif security.protocol == "SASL_SSL":
        yield _secured("ok", f"Encrypted, as user {security.sasl_username} ({security.sasl_mechanism}).")
    elif security.protocol == "SSL":
        who = f"with the certificate {security.certificate_file}" if security.certificate_file else "as nobody"
        yield _secured("ok", f"Encrypted, {who}.")
    else:
        yield _secured(
            "warning",
            f"POSTCALL_KAFKA_SECURITY_PROTOCOL={security.protocol}: who sees the network sees transcripts"
            f"{' and the password' if security.sasl_password and security.sasl_mechanism == 'PLAIN' else ''}.",
            "Use SSL or SASL_SSL, unless the network is private to these machines.",
        )


def _connection_to(broker: dict[str, Any], log: LogConnection) -> LogConnection:
    return LogConnection(f"{broker['host']}:{broker['port']}", log.security)


def _found(state: State, says: str, remedy: str | None = None) -> Finding:
    return Finding(check="log", state=state, says=says, remedy=remedy)


def _secured(state: State, says: str, remedy: str | None = None) -> Finding:
    return Finding(check="security", state=state, says=says, remedy=remedy)
