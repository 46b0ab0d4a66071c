"""The projections service that runs on a data directory: where it is found, by the commands that ask it.

Under `postcall up` or `postcall demo` the whole pipeline's `postcall.json` says it, also while the service is started
again. One that is run by itself, as in a container, says it in `projections.json`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from postcall.instance import find_instance, is_alive

_ADDRESS_FILE: Final = "projections.json"


class RunningService(BaseModel):
    """A running projections service. `instance` tells it from another one on the same port."""

    model_config = ConfigDict(frozen=True)

    private: str
    instance: str
    pid: int = Field(default_factory=os.getpid)


@contextmanager
def announced(data_dir: Path, service: RunningService) -> Iterator[None]:
    """Say where the service is while the block runs; the caller holds the warehouse of the directory."""
    file = data_dir / _ADDRESS_FILE
    draft = file.with_suffix(".json.part")
    draft.write_text(service.model_dump_json() + "\n", "utf-8")
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def find_service(data_dir: Path) -> RunningService | None:
    """The projections service that runs on this directory, if its process is alive."""
    pipeline = find_instance(data_dir)
    if pipeline is not None:
        return RunningService(private=pipeline.private, instance=pipeline.instance, pid=pipeline.pid)
    try:
        service = RunningService.model_validate_json((data_dir / _ADDRESS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return service if is_alive(service.pid) else None
