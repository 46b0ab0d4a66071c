"""Can the settings be read, and do they fit together?"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import AsyncIterator, Iterator

from postcall.doctor.findings import Finding, Patient
from postcall.settings import CONFIG_FILE, ENV_FILE, all_settings

#: What is no setting, and is told to processes by processes.
_INTERNAL = frozenset({CONFIG_FILE, ENV_FILE, "POSTCALL_INSTANCE", "POSTCALL_LIFELINE_FD", "POSTCALL_FAIL_AT"})


async def check_settings(patient: Patient) -> AsyncIterator[Finding]:
    """:raises SettingsError: one cannot be used."""
    rows = [row for kind in all_settings() for row in patient.configuration.rows(kind)]
    for kind in all_settings():
        patient.configuration.read(kind)
    _ = patient.settings.topics
    # Opens the files that secure the connection.
    patient.log.client_options()
    chosen = [row for row in rows if row.origin != "default"]
    yield Finding(check="settings", state="ok", says=f"{len(rows)} settings, {len(chosen)} of them not the default.")
    if patient.is_embedded:
        for row in chosen:
            if row.name.startswith("kafka_") or row.name in {"replication_factor", "retention_days"}:
                yield _warning(f"{row.env} is set, but only an Apache Kafka heeds it, and POSTCALL_KAFKA is not set.")
    if not _is_loopback(patient.settings.private_host) and not patient.settings.private_token:
        yield _warning(
            f"POSTCALL_PRIVATE_HOST={patient.settings.private_host} is open to others,"
            " which takes a POSTCALL_PRIVATE_TOKEN."
        )
    for name in _unknown_names({row.env for row in rows}):
        yield _warning(f"{name} is set, but is no setting. See: postcall settings")


def _warning(says: str) -> Finding:
    return Finding(check="settings", state="warning", says=says)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unknown_names(known: set[str]) -> Iterator[str]:
    for name in sorted(os.environ):
        if name.startswith("POSTCALL_") and not name.startswith("POSTCALL_TEST_") and name not in known | _INTERNAL:
            yield name
