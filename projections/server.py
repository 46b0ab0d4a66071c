"""The projections service: the projector and the private port, in one process."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import uuid4

from postcall.generations import (
    GenerationReplaced,
    remember_generation,
    remembered_generation,
    watch_generation,
)
from postcall.http_server import serve_http
from postcall.known_log.hold import Hold
from postcall.pipeline import INSTANCE_ID
from postcall.service import address_of
from postcall.settings import Settings
from projections.api.application import RouteFamily, build_application
from projections.api.copies import CopiesApi
from projections.api.guard import Guard
from projections.api.health import HealthApi
from projections.api.openapi import DocsApi
from projections.api.replays import ReplayApi
from projections.api.schema import SchemaApi
from projections.api.sessions import SessionsApi
from projections.api.sql import SqlApi
from projections.attaching.server import serve_attach
from projections.copying.copier import Copier
from projections.definitions import DefinitionsSource
from projections.files import hold_warehouse
from projections.opening import open_serving
from projections.projector import Projector
from projections.query.runner import QueryRunner
from projections.rebuild import rebuild_warehouse
from projections.running import RunningService, announced
from projections.settings import CopySettings, QuerySettings, WarehouseSettings
from projections.stock import take_stock
from projections.stopped import StoppedProjections

logger = logging.getLogger(__name__)

#: How long requests in flight may take when the service stops.
_DRAIN_S: Final = 3


async def serve(
    settings: Settings,
    warehouse_settings: WarehouseSettings,
    query_settings: QuerySettings,
    listener: socket.socket,
    *,
    on_ready: Callable[[], None],
    on_held: Callable[[str], None],
    stopping: asyncio.Event,
    copy_settings: CopySettings | None = None,
) -> None:
    """Project and answer until `stopping` is set. Ready = SQL is answered, and the log is being read.

    :param on_ready: called each time that the log has been opened.
    :param on_held: called with the reason when the log is not the one that the warehouse was made from.
    :raises GenerationReplaced: another generation of events is the live one; begin again in that.
    :raises ExtensionsMissing: other DuckDBs are to attach, and what that needs is not installed.
    :raises WarehouseHeld: another process has the warehouse.
    :raises UsageError: the address needs a token, and there is none.
    """
    guard = Guard(host=listener.getsockname()[0], token=settings.private_token)
    log = settings.log
    generation = remembered_generation(settings.data_dir)
    source = DefinitionsSource(folder=warehouse_settings.projections_dir, generation=generation)
    timezone = settings.reporting_timezone
    open_warehouse = partial(open_serving, settings.data_dir, reporting_timezone=timezone, source=source)
    stopped = StoppedProjections(settings.data_dir)
    hold = Hold("projections", data_dir=settings.data_dir, on_held=on_held)
    projector = Projector(log, open_warehouse, on_reading=on_ready, hold=hold, on_stopped=stopped.tell, source=source)
    runner = QueryRunner(lambda: projector.warehouse, query_settings)
    rebuild = partial(
        rebuild_warehouse,
        settings.data_dir,
        log,
        reporting_timezone=timezone,
        source=source,
        count_serving=lambda: take_stock(projector.warehouse) if projector.warehouse is not None else None,
    )
    copier = Copier(
        lambda: projector.warehouse,
        settings.data_dir,
        interval_s=(copy_settings or CopySettings()).analytics_copy_interval_s,
        reporting_timezone=timezone,
        own_files=warehouse_settings.projections_dir,
    )
    service = RunningService(
        private=f"http://{address_of(listener)}", instance=os.environ.get(INSTANCE_ID) or str(uuid4())
    )
    families: list[RouteFamily] = [
        SqlApi(runner=runner),
        SchemaApi(find_warehouse=lambda: projector.warehouse, own_files=warehouse_settings.projections_dir),
        SessionsApi(find_warehouse=lambda: projector.warehouse, data_dir=settings.data_dir),
        CopiesApi(copier=copier),
        ReplayApi(projector=projector, rebuild=rebuild),
        HealthApi(projector=projector, instance=service.instance),
        DocsApi(),
    ]
    attach = serve_attach(settings, copy_settings or CopySettings())
    with hold_warehouse(settings.data_dir), announced(settings.data_dir, service), attach:
        try:
            await projector.open_or_wait()
            await asyncio.to_thread(runner.open)
            application = build_application(families, guard)
            async with serve_http(application, listener, drain_s=_DRAIN_S, on_end=stopping.set):
                logger.info("SQL is served", extra={"action": "listening", "address": address_of(listener)})
                async with copier.running():
                    await _project_in(generation, projector, settings, stopping)
        finally:
            runner.close()
            await projector.close()


async def _project_in(generation: int, projector: Projector, settings: Settings, stopping: asyncio.Event) -> None:
    """Project until `stopping` is set, which it is as soon as another generation of events is the live one."""
    watching = asyncio.create_task(watch_generation(settings.log, generation))
    watching.add_done_callback(lambda _: stopping.set())
    try:
        await projector.run(stopping)
    finally:
        watching.cancel()
        (ended,) = await asyncio.gather(watching, return_exceptions=True)
    if isinstance(ended, GenerationReplaced):
        # The log need not be there when this starts again.
        remember_generation(settings.data_dir, ended.live.number)
    if isinstance(ended, Exception):
        raise ended
