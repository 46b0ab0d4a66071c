"""The demo's data directory: emptied at every start, and marked so that nothing else is ever emptied."""

from __future__ import annotations

import shutil
from pathlib import Path

from postcall.errors import UsageError
from postcall.instance import LOCK_FILE, hold_directory
from postcall.options import DEMO_MARKER


def empty_directory(data_dir: Path) -> None:
    """Make a marked, empty directory.

    :raises UsageError: it holds something that no demo made, or a demo runs on it.
    """
    if data_dir.exists() and any(data_dir.iterdir()) and not (data_dir / DEMO_MARKER).is_file():
        raise UsageError(
            f"{data_dir} is not empty and was not made by a demo, so it stays as it is. Choose another --data-dir."
        )
    with hold_directory(data_dir):
        for entry in data_dir.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK_FILE:
                entry.unlink()
        (data_dir / DEMO_MARKER).write_text("Made by `postcall demo`, which empties this directory when it starts.\n")
