"""Slots: where the stages keep their files, when several `postcall streams` share a data directory.

A slot is the folder `D/streams/<n>/` with one lock for each stage. `postcall streams` takes the first that is free for
all stages, `postcall streams --stage X` alone the first that is free for X. A lock falls with its holder, so a restart
comes back to the same slot. What lies in a slot is a cache of the log, caught up with at each assignment: it does not
matter who used the slot before, nor how long ago.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from postcall.file_locks import LockTaken, take_lock

logger = logging.getLogger(__name__)


def slot_directory(data_dir: Path, slot: int) -> Path:
    """Where the stages of a slot keep their files."""
    return data_dir / "streams" / str(slot)


@contextmanager
def hold_slot(data_dir: Path, stages: Iterable[str]) -> Iterator[int]:
    """Hold the first slot that is free for these stages, until the block ends or the process does.

    :raises OSError: the disk refused.
    """
    stages = tuple(stages)
    # What people said lies in it: for its owner only.
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for slot in itertools.count():
        with ExitStack() as locks:
            try:
                for stage in stages:
                    locks.enter_context(take_lock(_lock_file(data_dir, slot, stage)))
            except LockTaken:
                continue
            logger.info("Slot taken", extra={"action": "slot_taken", "slot": slot, "stages": ",".join(stages)})
            yield slot
            return


def _lock_file(data_dir: Path, slot: int, stage: str) -> Path:
    directory = slot_directory(data_dir, slot)
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{stage}.slot"
