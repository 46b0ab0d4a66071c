"""One state of the warehouse to export from: the running pipeline's copy, made now, or the warehouse's own file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx

from postcall.settings import Settings
from projections.copying.placing import COPY_FILE
from projections.exporting.errors import ExportFailed
from projections.reading import open_read_only
from projections.running import RunningService, find_service


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A connection that reads one state of all public tables and views, and the time zone in which those cut days.

    :param left_out: tables that there are, and whose rows cannot be read.
    """

    reader: duckdb.DuckDBPyConnection
    reporting_timezone: str
    left_out: tuple[str, ...] = ()


@contextlib.contextmanager
def open_snapshot(settings: Settings) -> Iterator[Snapshot]:
    """Open the present state of a data directory's warehouse.

    :raises ProjectionError: there is no warehouse, or it cannot be read now.
    """
    service = find_service(settings.data_dir)
    if service is None:
        with _opened_here(settings) as snapshot:
            yield snapshot
        return
    with duckdb.connect(ask_for_copy(service, settings), read_only=True) as copy:
        copy.execute("SET TimeZone = 'UTC'")
        timezone, left_out = copy.execute("SELECT reporting_timezone, left_out FROM postcall.copy").fetchall()[0]
        yield Snapshot(reader=copy, reporting_timezone=timezone, left_out=tuple(left_out))


def ask_for_copy(service: RunningService, settings: Settings) -> Path:
    """Have the running pipeline make its copy anew; returns where it is.

    :raises ExportFailed: it made none; says why.
    """
    headers = {"authorization": f"Bearer {settings.private_token}"} if settings.private_token else {}
    try:
        # As long as copying takes.
        response = httpx.post(f"{service.private}/v1/copy", headers=headers, timeout=None, trust_env=False)  # noqa: S113
    except httpx.HTTPError as error:
        raise ExportFailed(f"The pipeline at {service.private} does not answer: {error!r}.") from error
    if response.is_error:
        raise ExportFailed(_message_of(response))
    return settings.data_dir / COPY_FILE


@contextlib.contextmanager
def _opened_here(settings: Settings) -> Iterator[Snapshot]:
    warehouse = open_read_only(settings.data_dir)
    try:
        with warehouse.snapshot() as reader:
            yield Snapshot(reader=reader, reporting_timezone=settings.reporting_timezone)
    finally:
        warehouse.close()


def _message_of(response: httpx.Response) -> str:
    try:
        error: dict[str, Any] = response.json()["error"]
        return str(error["message"])
    except (ValueError, KeyError, TypeError):
        return f"The pipeline answered {response.status_code} when it was asked for a copy."
