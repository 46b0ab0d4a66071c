"""Which stages pause, and why: a file for each in the data directory, for `postcall status` and `postcall doctor`."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from postcall.instance import is_alive

_FOLDER: Final = "paused"


class PausedStage(BaseModel):
    """A stage that tries one record at a time until one gets through."""

    model_config = ConfigDict(frozen=True)

    #: Its name within the data directory: `insights-0`.
    stage: str
    reason: str
    since: AwareDatetime
    pid: int


def publish_pause(data_dir: Path, stage: str, reason: str | None) -> None:
    """Say that this process's stage pauses; None = it does not. A full disk is no reason to fail."""
    file = data_dir / _FOLDER / f"{stage}.json"
    with contextlib.suppress(OSError):
        if reason is None:
            file.unlink(missing_ok=True)
            return
        paused = PausedStage(stage=stage, reason=reason, since=datetime.now(UTC), pid=os.getpid())
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_suffix(".part")
        draft.write_text(paused.model_dump_json(), "utf-8")
        draft.replace(file)


def read_pauses(data_dir: Path) -> list[PausedStage]:
    """The stages of this machine that pause now."""
    found = (_read(path) for path in sorted((data_dir / _FOLDER).glob("*.json")))
    return [paused for paused in found if paused is not None and is_alive(paused.pid)]


def _read(path: Path) -> PausedStage | None:
    try:
        return PausedStage.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
