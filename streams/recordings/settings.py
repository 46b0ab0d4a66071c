"""The settings of the recordings worker."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from postcall.settings import Configuration, setting
from postcall.sources import SOURCE_MODULES, source_module


@dataclass(frozen=True, kw_only=True)
class RecordingSettings:
    """Limits of a download."""

    recording_max_bytes: int = setting(8 * 1024**3, "largest recording kept, in bytes")
    recording_deadline_s: float = setting(1800.0, "longest that one attempt at a download may take, in seconds")
    recording_idle_timeout_s: float = setting(30.0, "longest silence of a recording's server, in seconds")
    recording_max_attempts: int = setting(10, "attempts at a download (about 15 minutes) before it has failed")


def missing_keys(configuration: Configuration, vendor: str) -> tuple[str, ...]:
    """The environment names of this vendor's keys that downloads may need and that are not set."""
    if vendor not in SOURCE_MODULES:
        return ()
    kind: type[Any] = source_module(vendor).Settings
    held_here = {
        field.name
        for field in dataclasses.fields(kind)
        if field.metadata.get("secret") and "streams" in field.metadata["held_by"]
    }
    rows = configuration.rows(kind)
    return tuple(row.env for row in rows if row.name in held_here and row.origin == "default")
