"""The running pipeline of a data directory: who holds it, and where it is found (`postcall.json`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from uuid_utils.compat import uuid7

from postcall.errors import UsageError
from postcall.file_locks import LockTaken, take_lock
from postcall.log_connection import LogConnection
from postcall.settings import Settings

ADDRESSES_FILE = "postcall.json"
LOCK_FILE = "lock"


class Instance(BaseModel):
    """The addresses of a running pipeline. `instance` tells it from an older one on the same ports."""

    model_config = ConfigDict(frozen=True)

    ingest: str
    private: str
    log: str
    pid: int = Field(default_factory=os.getpid)
    instance: str = Field(default_factory=lambda: str(uuid7()))


def write_instance(data_dir: Path, instance: Instance) -> None:
    """Publish the addresses, atomically."""
    target = data_dir / ADDRESSES_FILE
    draft = target.with_suffix(".json.part")
    draft.write_text(instance.model_dump_json() + "\n", "utf-8")
    draft.replace(target)


def find_instance(data_dir: Path) -> Instance | None:
    """The pipeline that runs on this directory, if its process is alive."""
    try:
        instance = Instance.model_validate_json((data_dir / ADDRESSES_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return instance if is_alive(instance.pid) else None


def find_log(settings: Settings) -> LogConnection:
    """The log that a command speaks to: an Apache Kafka if one is set, else that of the pipeline that runs here.

    :raises SettingsError: the security settings do not fit together.
    """
    instance = None if settings.kafka else find_instance(settings.data_dir)
    return settings.log if instance is None else settings.log_at(instance.log)


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def hold_directory(data_dir: Path) -> Iterator[None]:
    """Hold a data directory for this process, until the block ends or the process does.

    :raises UsageError: another process holds it; says which.
    """
    # Transcripts and numbers lie in it: for its owner only.
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = take_lock(data_dir / LOCK_FILE)
    except LockTaken as taken:
        raise UsageError(
            f"{data_dir} is in use by {taken.holder}. Stop it first, or choose another --data-dir."
        ) from None
    with lock:
        try:
            yield
        finally:
            (data_dir / ADDRESSES_FILE).unlink(missing_ok=True)
