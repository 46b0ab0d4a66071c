"""What a reader holds against the log, and what a person has accepted: two files of the data directory.

Each held reader writes `held/READER.json`; `postcall log accept` shows them and copies them into `accepted-log.json`.
An acceptance is good for exactly the log that was seen, and so a later contradiction holds a reader again.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from postcall.durable_files import sync_directory, sync_file
from postcall.known_log.comparison import Finding
from postcall.known_log.identity import LogIdentity

#: How often a held reader looks, at the log and whether it was accepted.
LOOK_INTERVAL_S: Final = 2.0
#: A held reader touches its file at each look; one that has not for so long does not run any more.
_SILENCE_LIMIT_S: Final = 60.0
_ACCEPTED_FILE: Final = "accepted-log.json"
_HELD_FOLDER: Final = "held"

M = TypeVar("M", bound=BaseModel)


class HeldReader(BaseModel):
    """A reader that may not go on: the log that it sees, and all that contradicts what it remembers."""

    model_config = ConfigDict(frozen=True)

    reader: str
    log: LogIdentity
    findings: tuple[Finding, ...]


class Acceptance(BaseModel):
    """What was accepted, of each reader."""

    model_config = ConfigDict(frozen=True)

    accepted_at: datetime
    readers: tuple[HeldReader, ...]

    def covers(self, held: HeldReader) -> bool:
        """Whether everything that this reader holds against the log was accepted."""
        return all(any(_is_accepted(finding, held, accepted) for accepted in self.readers) for finding in held.findings)


def _is_accepted(finding: Finding, held: HeldReader, accepted: HeldReader) -> bool:
    if finding.kind == "unequal_partitions":
        return held.log.partition_counts() == accepted.log.partition_counts()
    if not held.log.has_same_ids(accepted.log, finding.topic):
        return False
    if finding.has_other_ids or finding.kind == "more_partitions":
        # That the ids or the count differ shows that what is remembered is from before the acceptance: whoever
        # remembers it, as another process that takes over a partition, may go on as well.
        return True
    return accepted.reader == held.reader and any(
        _is_same_loss(finding, other) and _has_lost_no_more(held.log, accepted.log, finding)
        for other in accepted.findings
    )


def _is_same_loss(finding: Finding, other: Finding) -> bool:
    keys = [(each.kind, each.topic, each.partition, each.from_offset, each.checksum) for each in (finding, other)]
    return keys[0] == keys[1]


def _has_lost_no_more(log: LogIdentity, accepted: LogIdentity, finding: Finding) -> bool:
    ranges = [each.topics[finding.topic].partitions for each in (log, accepted)]
    if finding.partition is None or finding.partition >= min(map(len, ranges)):
        return True
    now, then = (each[finding.partition] for each in ranges)
    return now.start <= then.start and now.end >= then.end


def publish_held(data_dir: Path, held: HeldReader) -> None:
    """Say that a reader is held."""
    file = _held_file(data_dir, held.reader)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(file, held)


def touch_held(data_dir: Path, reader: str) -> None:
    """Say that a reader is still held, by what it published."""
    os.utime(_held_file(data_dir, reader))


def withdraw_held(data_dir: Path, reader: str) -> None:
    """Say that a reader is not held."""
    _held_file(data_dir, reader).unlink(missing_ok=True)


def read_held(data_dir: Path) -> list[HeldReader]:
    """The readers that are held now."""
    fresh = (path for path in sorted((data_dir / _HELD_FOLDER).glob("*.json")) if _is_fresh(path))
    return [held for path in fresh if (held := _read(path, HeldReader)) is not None]


def write_acceptance(data_dir: Path, acceptance: Acceptance) -> None:
    """Let the held readers go on; what was accepted before is of no interest any more."""
    _write(data_dir / _ACCEPTED_FILE, acceptance)


def read_acceptance(data_dir: Path) -> Acceptance | None:
    """What was accepted last, if anything was."""
    return _read(data_dir / _ACCEPTED_FILE, Acceptance)


def _held_file(data_dir: Path, reader: str) -> Path:
    return data_dir / _HELD_FOLDER / f"{reader}.json"


def _is_fresh(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _SILENCE_LIMIT_S
    except FileNotFoundError:
        return False


def _write(path: Path, value: BaseModel) -> None:
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8") as file:
        file.write(value.model_dump_json(indent=2) + "\n")
        file.flush()
        sync_file(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def _read(path: Path, kind: type[M]) -> M | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
