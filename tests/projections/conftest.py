"""A log with calls in it, a warehouse of calls, and the service as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postcall.kafka import append, open_producer
from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from projections.query.runner import QueryRunner
from projections.settings import QuerySettings
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records
from tests.projections.service import Service, StartService, starting_services

__all__ = ["Service", "fill_log", "runner", "start_service", "warehouse"]


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[StartService]:
    """Start the service on a log and a data directory; whatever still runs at the end is killed."""
    with starting_services(tmp_path) as start:
        yield start


async def fill_log(log_address: str, calls: range) -> None:
    """Append every record of these calls."""
    await create_topics(LogConnection(log_address), TopicSettings(partitions=2))
    async with open_producer(LogConnection(log_address), linger_ms=5) as producer:
        await append(producer, make_records(calls))


@pytest.fixture(scope="session")
def warehouse() -> Iterator[Warehouse]:
    """A warehouse of thirty calls, only to be read."""
    warehouse = Warehouse(":memory:")
    apply_records(warehouse, number_records(make_records(range(30))))
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="session")
def runner(warehouse: Warehouse) -> Iterator[QueryRunner]:
    """Runs queries against that warehouse, under limits that no honest query meets on a busy machine."""
    runner = QueryRunner(lambda: warehouse, QuerySettings(sql_deadline_s=60.0, sql_memory_mb=512))
    yield runner
    runner.close()
