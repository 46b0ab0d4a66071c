"""Where a copy lies: in a folder of its own while it is written, under its own name once it is whole.

Only the owner can read either. What a killed process left behind is removed by the next one.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postcall.durable_files import sync_directory, sync_file
from postcall.file_locks import LockTaken, take_lock
from projections.copying.errors import CopyFailed

#: The copy of a data directory.
COPY_FILE: Final = "analytics.duckdb"
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600


@contextlib.contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """Where to write what is to become `target`; whatever is there after the block, but what was put in place, is gone.

    :raises CopyFailed: another process is writing it.
    """
    folder = _draft_folder(target)
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    try:
        lock = take_lock(folder / "lock")
    except LockTaken as taken:
        raise CopyFailed(f"{taken.holder} is writing {target} already.") from None
    with lock:
        _empty(folder)
        try:
            yield folder / target.name
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(draft: Path, target: Path) -> None:
    """Let a finished draft be the target, durably and at once: who has the old one open keeps it."""
    draft.chmod(_PRIVATE_FILE)
    with draft.open("rb+") as file:
        sync_file(file.fileno())
    draft.replace(target)
    sync_directory(target.parent)


def remove_left_behind(target: Path) -> None:
    """Remove what a killed process had written of the target; nobody else may be writing it."""
    shutil.rmtree(_draft_folder(target), ignore_errors=True)


def _draft_folder(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _empty(folder: Path) -> None:
    for left_behind in folder.iterdir():
        if left_behind.name != "lock":
            if left_behind.is_dir():
                shutil.rmtree(left_behind)
            else:
                left_behind.unlink()
