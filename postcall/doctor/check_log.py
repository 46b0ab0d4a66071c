"""Does the log answer, at every address that it tells, and who else could read along?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from postcall.doctor.findings import Finding, Patient, State
from postcall.errors import LogUnavailable
from postcall.log_diagnosis import find_unreachable, read_cluster


async def check_log(patient: Patient) -> AsyncIterator[Finding]:
    """:raises LogUnavailable: it does not answer; says why."""
    try:
        cluster = await read_cluster(patient.log)
    except LogUnavailable:
        if not patient.is_embedded or patient.instance is not None:
            raise
        yield _found("skipped", f"The embedded log does not run at {patient.log}; postcall up starts it.")
        return
    unreachable = await find_unreachable(patient.log, cluster)
    for says in unreachable:
        yield _found("failed", says)
    if not unreachable:
        count = len(cluster.brokers)
        yield _found(
            "ok",
            f"{'The embedded log' if patient.is_embedded else 'Kafka'} at {patient.log}: cluster {cluster.cluster_id},"
            f" {count} broker{'s' * (count != 1)}, round trip {cluster.round_trip_ms:.1f} ms.",
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


def _found(state: State, says: str, remedy: str | None = None) -> Finding:
    return Finding(check="log", state=state, says=says, remedy=remedy)


def _secured(state: State, says: str, remedy: str | None = None) -> Finding:
    return Finding(check="security", state=state, says=says, remedy=remedy)
