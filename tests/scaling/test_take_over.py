"""Several processes of each service on Apache Kafka: killed, and restarted one by one, under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scaling.cluster import repeated, running_cluster

pytestmark = [
    pytest.mark.parametrize("log_address", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True),
    pytest.mark.timeout(240),
]
Record = Callable[[str, object], None]
# The session timeout, a heartbeat, what work takes that the survivors let end first, and a slow machine.
TAKE_OVER_LIMIT_S = 15.0
# Without the session timeout, since who leaves in order says so.
HAND_OVER_LIMIT_S = 5.0
#: Of the settings: so much may be under way in a process when it is killed.
DOWNLOADS_AT_ONCE, MODEL_CALLS_AT_ONCE = 8, 16


async def test_the_others_take_over_from_killed_processes(
    log_address: str, tmp_path: Path, record_property: Record
) -> None:
    async with running_cluster(log_address, tmp_path / "data", calls=400, seed=31) as cluster:
        async with cluster.load(rate_per_s=40) as load:
            await load.until_accepted(more=300)
            cluster.services["streams-a"].kill()
            cluster.services["ingest-a"].kill()
            downloads, asked = cluster.downloads, cluster.model.asked.copy()
            seconds = await cluster.take_over_s(members=1)
            record_property("seconds from kill -9 to the take-over", seconds)
            await load.until_accepted(more=100)
        await cluster.hold(load.ledger)
        record_property("downloads begun twice", len(repeated(cluster.downloads)))
        record_property("model calls paid twice", len(repeated(cluster.model.asked)))
    assert max(seconds.values()) <= TAKE_OVER_LIMIT_S
    assert not any("action=held" in service.said for service in cluster.services.values())
    # Only what was under way when the process was killed may be done again.
    assert repeated(cluster.downloads) <= downloads.keys()
    assert len(repeated(cluster.downloads)) <= DOWNLOADS_AT_ONCE
    assert repeated(cluster.model.asked) <= asked.keys()
    assert len(repeated(cluster.model.asked)) <= MODEL_CALLS_AT_ONCE
    assert max(cluster.downloads.values()) <= 2
    assert max(cluster.model.asked.values()) <= 2


async def test_a_rolling_restart_does_nothing_twice_and_refuses_nobody(
    log_address: str, tmp_path: Path, record_property: Record
) -> None:
    stopped_s: dict[str, float] = {}
    handed_over_s: dict[str, float] = {}
    async with running_cluster(log_address, tmp_path / "data", calls=600, seed=32) as cluster:
        async with cluster.load(rate_per_s=40) as load:
            await load.until_accepted(more=100)
            for name, service in cluster.services.items():
                if name.startswith("streams"):
                    stopping = asyncio.create_task(service.stop())
                    handed_over_s[name] = max((await cluster.take_over_s(members=1)).values())
                    stopped_s[name] = await stopping
                else:
                    stopped_s[name] = await service.stop()
                service.start()
                await service.until_ready()
                await load.until_accepted(more=40)
            await cluster.take_over_s(members=2)
        record_property("seconds of an orderly stop", stopped_s)
        record_property("seconds from SIGTERM to the take-over", handed_over_s)
        await cluster.hold(load.ledger)
    answers = {request.status for request in load.ledger.requests}
    assert answers <= {200, None}, "who is not answered tries the other door"
    assert not repeated(cluster.downloads)
    assert not repeated(cluster.model.asked)
    assert all("action=recording_stored" in cluster.services[name].said for name in handed_over_s)
    assert not any("action=held" in service.said for service in cluster.services.values())
    assert max(handed_over_s.values()) <= HAND_OVER_LIMIT_S
