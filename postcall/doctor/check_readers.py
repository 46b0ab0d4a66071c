"""Does a reader stand still, because the log is not the one that it knows?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from postcall.doctor.findings import Finding, Patient
from postcall.errors import LogMismatch
from postcall.known_log.acceptance import read_held


async def check_readers(patient: Patient) -> AsyncIterator[Finding]:
    """Those of this data directory."""
    data_dir = patient.settings.data_dir
    held = read_held(data_dir)
    for reader in held:
        yield Finding(
            check="readers",
            state="failed",
            says=f"{reader.reader} is held: {reader.findings[0].reason}",
            remedy=f"See what accepting it would mean: {LogMismatch.command} --data-dir {data_dir}",
        )
    if not held:
        yield Finding(check="readers", state="ok", says="None is held by a log that it does not know.")
