"""Does a reader stand still, because the log is not the one that it knows, or something that it needs fails?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from postcall.doctor.findings import Finding, Patient
from postcall.errors import LogMismatch
from postcall.known_log.acceptance import read_held
from postcall.paused_stages import read_pauses


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
    pauses = read_pauses(data_dir)
    for paused in pauses:
        yield Finding(
            check="readers",
            state="warning",
            says=f"{paused.stage} pauses since {paused.since:%F %T} UTC: {paused.reason}",
            remedy="Mend what it names; the stage tries by itself, and goes on when one record gets through.",
        )
    if not held and not pauses:
        yield Finding(check="readers", state="ok", says="None is held by a log that it does not know, and none pauses.")
