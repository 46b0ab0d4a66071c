"""A killed projector: what it had, it has; what it had not, it reads again; nothing is there twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from projections.files import serving_path
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.conftest import Service, fill_log
from tests.projections.logbook import apply_records, number_records, read_tables
from tests.waiting import eventually

CALLS = 900
COUNTED = ("webhooks", "transcripts", "sessions", "insights")


@pytest.mark.timeout(180)
@pytest.mark.both_logs
async def test_kill_dash_nine_in_the_middle_of_a_load_loses_and_doubles_nothing(
    log_address: str, tmp_path: Path, start_service: Callable[[str, Path], Service]
) -> None:
    data_dir = tmp_path / "data"
    filling = asyncio.create_task(fill_log(log_address, range(CALLS)))
    seed = random.randrange(1_000_000)  # noqa: S311 - moments, not secrets
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    moments = random.Random(seed)  # noqa: S311 - as above
    for _ in range(3):
        service = start_service(log_address, data_dir)
        wanted = moments.randrange(1, CALLS)
        await eventually(_has_rows(service, "webhooks", wanted), timeout_s=60)
        service.kill()
    await filling
    service = start_service(log_address, data_dir)
    for table in COUNTED:
        expected = CALLS * 6 if table == "transcripts" else CALLS
        await eventually(_has_rows(service, table, expected), timeout_s=60)
    service.kill()
    warehouse = Warehouse(serving_path(data_dir))
    uninterrupted = Warehouse(":memory:")
    apply_records(uninterrupted, number_records(make_records(range(CALLS))))
    try:
        assert read_tables(warehouse) == read_tables(uninterrupted)
        with warehouse.snapshot() as reader:
            places = "SELECT count(*), count(DISTINCT (kafka_topic, kafka_partition, kafka_offset)) FROM webhooks"
            assert reader.execute(places).fetchall() == [(CALLS, CALLS)]
    finally:
        warehouse.close()
        uninterrupted.close()


def _has_rows(service: Service, table: str, at_least: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        assert service.process.poll() is None, "the service ended by itself"
        return await service.count(table) >= at_least

    return check
