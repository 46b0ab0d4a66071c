"""Can the data directory be written to, is it its owner's alone, and is there space?"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from postcall.doctor.findings import Finding, Patient, State

_LITTLE_BYTES: Final = 5_000_000_000
#: The log, the warehouse and a recording of the largest size would not fit beside each other any more.
_TOO_LITTLE_BYTES: Final = 500_000_000


async def check_data_directory(patient: Patient) -> AsyncIterator[Finding]:
    """Looks at the nearest folder that exists, and leaves nothing behind."""
    wanted = patient.settings.data_dir
    folder = _nearest(wanted.absolute())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"postcall")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield _found("failed", f"{folder} cannot be written to: {error.strerror}.", "See POSTCALL_DATA_DIR.")
        return
    free = shutil.disk_usage(folder).free
    space = f"{wanted} can be written to{'' if wanted.exists() else ' once it is made'}; {free / 1e9:.1f} GB are free."
    if free < _TOO_LITTLE_BYTES:
        yield _found("failed", space, "Make room: the log, the warehouse and recordings lie there.")
    elif free < _LITTLE_BYTES:
        yield _found("warning", space, "Make room before it is needed.")
    else:
        yield _found("ok", space)
    if wanted.exists() and wanted.stat().st_mode & 0o077:
        yield _found("warning", f"Others may look into {wanted}, where transcripts lie.", f"Run: chmod 700 {wanted}")


def _nearest(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _found(state: State, says: str, remedy: str | None = None) -> Finding:
    return Finding(check="data", state=state, says=says, remedy=remedy)
