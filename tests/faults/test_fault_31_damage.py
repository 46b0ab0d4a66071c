"""Fault 31: whatever happens to the warehouse's files, the tables come back from the log, and nobody is told an error
for ever."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from postcall.log_connection import LogConnection
from projections.files import CURRENT_FILE, serving_path
from projections.opening import open_serving
from projections.projector import Projector
from projections.rebuild import projecting
from tests.faults.warehouses import Tables, has_rows, hold_tables
from tests.projections.conftest import fill_log
from tests.projections.logbook import PUBLIC, read_tables
from tests.projections.service import StartService
from tests.waiting import eventually

pytestmark = [pytest.mark.embedded_log, pytest.mark.timeout(240)]

_BLOCK_BYTES = 256 * 1024
_HEADERS_BYTES = 3 * 4096

Damage = Callable[[Path], None]


def flip(path: Path, *, first: int, every: int) -> None:
    """Flip a byte at a place, and at every so many bytes after it."""
    content = bytearray(path.read_bytes())
    for place in range(first, len(content), every):
        content[place] ^= 0xFF
    path.write_bytes(content)


def flip_headers(path: Path) -> None:
    flip(path, first=16, every=4096)


def flip_every_block(path: Path) -> None:
    # All but the first bytes of a block are of no meaning where it is not full.
    flip(path, first=_HEADERS_BYTES + 64, every=_BLOCK_BYTES)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def write_other_file(path: Path) -> None:
    path.write_text("This is no database.\n" * 1000)


def flip_wal(path: Path) -> None:
    flip(wal_of(path), first=100, every=1000)


def truncate_wal(path: Path) -> None:
    truncate(wal_of(path))


def delete_wal(path: Path) -> None:
    wal_of(path).unlink()


def restore_older(path: Path) -> None:
    older = path.with_name("older")
    shutil.copy(older / path.name, path)
    wal_of(path).unlink(missing_ok=True)


def forget_current(path: Path) -> None:
    (path.parent / CURRENT_FILE).unlink()


def name_nonsense(path: Path) -> None:
    (path.parent / CURRENT_FILE).write_bytes(b"\xff../../etc/passwd\n")


def name_what_is_not_there(path: Path) -> None:
    (path.parent / CURRENT_FILE).write_text("warehouse-7.duckdb\n")


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


DAMAGES: tuple[Damage, ...] = (
    flip_headers, flip_every_block, truncate, empty, write_other_file, Path.unlink, flip_wal, truncate_wal, delete_wal,
    restore_older, forget_current, name_nonsense, name_what_is_not_there,
)  # fmt: skip


async def project_all(log_address: str, data_dir: Path) -> Tables:
    """Let a projector read the log to its end; returns the tables then."""
    open_warehouse = partial(open_serving, data_dir, reporting_timezone="UTC")
    projector = Projector(LogConnection(log_address), open_warehouse, on_reading=lambda: None)
    async with projecting(projector):

        async def has_read_all() -> bool:
            return (await projector.read_status()).unread == 0

        await eventually(has_read_all, timeout_s=60)
    warehouse = open_warehouse()
    with contextlib.closing(warehouse):
        return read_tables(warehouse, (*PUBLIC, "webhooks"))


async def test_fault_31_damaged_files_are_made_again_from_the_log(log_address: str, tmp_path: Path) -> None:
    """One after the other on one directory: what is set aside by one is in nobody's way."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    await fill_log(log_address, range(20))
    older = await project_all(log_address, data_dir)
    (data_dir / "older").mkdir()
    shutil.copy(serving_path(data_dir), data_dir / "older")
    await fill_log(log_address, range(20, 25))
    warehouse = open_serving(data_dir, reporting_timezone="UTC")
    with contextlib.closing(warehouse):
        warehouse.begin_build("webhooks")
        # What a kill leaves: a file, and a WAL beside it.
        shutil.copytree(data_dir, tmp_path / "killed")
    expected = await project_all(log_address, data_dir)
    assert len(expected["webhooks"]) == len(older["webhooks"]) + 5
    for damage in DAMAGES:
        shutil.rmtree(data_dir)
        shutil.copytree(tmp_path / "killed", data_dir)
        damage(serving_path(data_dir))
        assert await project_all(log_address, data_dir) == expected, damage.__name__


async def test_fault_31_a_block_that_is_damaged_while_it_is_open_is_noticed_and_made_again(
    log_address: str, tmp_path: Path, start_service: StartService
) -> None:
    data_dir = tmp_path / "data"
    await fill_log(log_address, range(300))
    service = start_service(log_address, data_dir)
    await eventually(has_rows(service, "insights", 300), timeout_s=60)
    service.process.terminate()
    service.process.wait()
    service = start_service(log_address, data_dir)
    await eventually(service.is_ready, timeout_s=60)
    flip_every_block(serving_path(data_dir))
    await fill_log(log_address, range(300, 340))
    for table in ("sessions", "transcripts", "insights"):
        await eventually(has_rows(service, table, 340), timeout_s=60)
    service.kill()
    hold_tables(range(340), data_dir)
