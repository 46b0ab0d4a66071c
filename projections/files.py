"""The warehouse's files: which one serves, who holds them, and where a damaged one goes.

Files are `warehouse-N.duckdb`; `warehouse.current` names the one that serves and is replaced by rename and fsync.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from postcall.durable_files import sync_directory, sync_file
from postcall.file_locks import LockTaken, take_lock
from projections.errors import WarehouseHeld

CURRENT_FILE = "warehouse.current"
_NAME = re.compile(r"warehouse-(\d+)\.duckdb")


@contextmanager
def hold_warehouse(data_dir: Path) -> Iterator[None]:
    """Hold the warehouse of a data directory for this process.

    :raises WarehouseHeld: another process has it; says which.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        lock = take_lock(data_dir / "warehouse.lock")
    except LockTaken as taken:
        raise WarehouseHeld(
            f"The warehouse in {data_dir} is held by {taken.holder}. Stop it first, or choose another --data-dir."
        ) from None
    with lock:
        yield


def serving_path(data_dir: Path) -> Path:
    """The serving warehouse's path, whether the file is there or not."""
    try:
        name = (data_dir / CURRENT_FILE).read_text("utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        name = ""
    return data_dir / (name if _NAME.fullmatch(name) else "warehouse-1.duckdb")


def next_path(path: Path) -> Path:
    """The path of the warehouse that follows this one."""
    match = _NAME.fullmatch(path.name)
    number = int(match[1]) if match else 0
    return path.with_name(f"warehouse-{number + 1}.duckdb")


def make_serving(path: Path) -> None:
    """Let `path` be the serving warehouse, durably."""
    target = path.with_name(CURRENT_FILE)
    draft = target.with_suffix(".part")
    with draft.open("w", encoding="utf-8") as file:
        file.write(path.name + "\n")
        file.flush()
        sync_file(file.fileno())
    draft.replace(target)
    sync_directory(path.parent)


def set_aside(path: Path, *, reason: Literal["corrupt", "other-log"]) -> Path:
    """Move a warehouse aside, for a person to look at; returns where it is now."""
    targets = (path.with_name(f"{path.name}.{reason}-{number}") for number in itertools.count(1))
    target = next(candidate for candidate in targets if not candidate.exists())
    for suffix in ("", ".wal"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(target.with_name(target.name + suffix))
    return target


def size_bytes(path: Path) -> int:
    """What a warehouse takes of the disk; 0 where there is none."""
    parts = (path.with_name(path.name + suffix) for suffix in ("", ".wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def remove(path: Path) -> None:
    """Delete a warehouse that has been replaced."""
    for suffix in ("", ".wal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def remove_all_but(*kept: Path) -> None:
    """Delete every warehouse of a directory but these; what was set aside stays."""
    for path in kept[0].parent.glob("warehouse-*.duckdb"):
        if _NAME.fullmatch(path.name) and path not in kept:
            remove(path)
