"""Builds on a real log: new files are taken up while the projector runs, changed ones made beside and swapped in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postcall.kafka import append, open_producer
from postcall.log_connection import LogConnection
from projections.definitions import DefinitionsSource
from projections.new_projection import write_projection
from projections.opening import open_serving
from projections.projector import Projector
from tests.projections.calls import make_records
from tests.projections.conftest import fill_log
from tests.projections.own_files import one_table
from tests.waiting import eventually

CALLS = 60
#: Fails for the session of one call only.
FAILS_LATER = """INSERT INTO mine
SELECT session_id, if(session_id = 'session-000061', error('not this one'), 1) FROM events;"""


class Running:
    """A projector at work on a folder of a user's files."""

    def __init__(self, projector: Projector, folder: Path) -> None:
        self.projector, self.folder = projector, folder

    def write(self, name: str, text: str) -> None:
        # As editors do it: a file is there as a whole, or not at all.
        draft = self.folder / f"{name}.part"
        draft.write_text(text, "utf-8")
        draft.replace(self.folder / f"{name}.sql")

    def rows(self, statement: str) -> list[tuple[Any, ...]] | None:
        """What a person sees; None = there is no such table."""
        assert self.projector.warehouse is not None
        with self.projector.warehouse.snapshot() as reader, contextlib.suppress(Exception):
            return reader.execute(statement).fetchall()
        return None

    async def until(self, statement: str, *rows: tuple[Any, ...] | None) -> None:
        expected = None if rows == (None,) else list(rows)
        await eventually(lambda: self.rows(statement) == expected, timeout_s=60)

    async def reason(self, name: str) -> str:
        """Why a projection is stopped, once it is."""

        async def is_stopped() -> bool:
            return name in (await self.projector.read_status()).stopped

        await eventually(is_stopped, timeout_s=60)
        return (await self.projector.read_status()).stopped[name]


@contextlib.asynccontextmanager
async def running(log_address: str, data_dir: Path) -> AsyncIterator[Running]:
    """A projector at work, until the block ends."""
    folder, stopping = data_dir / "sql", asyncio.Event()
    folder.mkdir(parents=True, exist_ok=True)
    source = DefinitionsSource(folder=folder)
    projector = Projector(
        LogConnection(log_address),
        lambda: open_serving(data_dir, reporting_timezone="UTC", source=source),
        on_reading=lambda: None,
        source=source,
    )
    await projector.open()
    running = asyncio.create_task(projector.run(stopping))
    try:
        yield Running(projector, folder)
        stopping.set()
        await running
    finally:
        running.cancel()
        await projector.close()


async def append_calls(log_address: str, calls: range) -> None:
    async with open_producer(LogConnection(log_address)) as producer:
        await append(producer, make_records(calls))


@pytest.mark.both_logs
async def test_a_file_is_taken_up_from_the_logs_beginning_and_removed(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(CALLS))
    async with running(log_address, tmp_path) as own:
        await own.until("SELECT count(*) FROM sessions", (CALLS,))
        write_projection("refunds", own.folder)
        await own.until("SELECT count(*) FROM refunds", (CALLS,))
        await append_calls(log_address, range(CALLS, CALLS + 1))
        await own.until("SELECT count(*) FROM refunds", (CALLS + 1,))
        (own.folder / "refunds.sql").unlink()
        await own.until("SELECT count(*) FROM refunds", None)
        await own.until("SELECT count(*) FROM sessions", (CALLS + 1,))


@pytest.mark.embedded_log
async def test_a_changed_file_shows_the_old_rows_until_the_new_ones_are_whole(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(CALLS))
    async with running(log_address, tmp_path) as own:
        own.write("mine", one_table("mine"))
        await own.until("SELECT count(*), sum(number) FROM mine", (CALLS, CALLS))
        seen: list[list[tuple[Any, ...]] | None] = []

        def is_swapped() -> bool:
            seen.append(own.rows("SELECT count(*), sum(number) FROM mine"))
            return seen[-1] == [(CALLS, 7 * CALLS)]

        apply = "INSERT INTO mine SELECT session_id, 7, 'added' FROM events;"
        schema = "CREATE TABLE mine (session_id VARCHAR, number INTEGER, more VARCHAR);"
        own.write("mine", one_table("mine", apply=apply, schema=schema, view="SELECT number, more FROM mine"))
        await eventually(is_swapped, timeout_s=60)
        assert all(rows in ([(CALLS, CALLS)], [(CALLS, 7 * CALLS)]) for rows in seen), seen
        assert own.rows("SELECT DISTINCT more FROM mine") == [("added",)]
        assert own.projector.warehouse is not None
        assert [build.number for build in own.projector.warehouse.builds if build.projection == "mine"] == [2]


@pytest.mark.embedded_log
async def test_a_file_that_is_broken_while_it_runs_keeps_its_rows_and_is_told(log_address: str, tmp_path: Path) -> None:
    await fill_log(log_address, range(CALLS))
    async with running(log_address, tmp_path) as own:
        own.write("mine", one_table("mine"))
        await own.until("SELECT count(*) FROM mine", (CALLS,))
        own.write("mine", one_table("mine", apply="INSERT INTO mine SELECT nix FROM events;"))
        assert 'mine.sql, line 8: Binder Error: Referenced column "nix" not found' in await own.reason("mine")
        await append_calls(log_address, range(CALLS, CALLS + 1))
        await own.until("SELECT count(*) FROM sessions", (CALLS + 1,))
        assert own.rows("SELECT count(*) FROM mine") == [(CALLS,)]
        own.write("mine", one_table("mine"))
        await own.until("SELECT count(*) FROM mine", (CALLS + 1,))
        assert (await own.projector.read_status()).stopped == {}


@pytest.mark.embedded_log
async def test_a_record_that_a_file_fails_on_stops_it_until_it_is_saved_anew(
    log_address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await fill_log(log_address, range(CALLS))
    async with running(log_address, tmp_path) as own:
        own.write("mine", one_table("mine", apply=FAILS_LATER))
        await own.until("SELECT count(*) FROM mine", (CALLS,))
        await append_calls(log_address, range(CALLS, CALLS + 2))
        assert "not this one" in await own.reason("mine")
        assert "projection_stopped" in {getattr(record, "action", "") for record in caplog.records}
        await append_calls(log_address, range(CALLS + 2, CALLS + 4))
        await own.until("SELECT count(*) FROM sessions", (CALLS + 4,))
        rows = own.rows("SELECT count(*) FROM mine")
        assert rows is not None
        assert rows[0][0] in (CALLS, CALLS + 1)
        own.write("mine", one_table("mine"))
        await own.until("SELECT count(*) FROM mine", (CALLS + 4,))
        assert (await own.projector.read_status()).stopped == {}
