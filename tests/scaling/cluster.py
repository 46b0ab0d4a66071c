"""Everything that a test of scaling runs: the services, the vendor, the model, and what is to be held in the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postcall.log_connection import LogConnection
from postcall.private_api import PrivateApi
from postcall.stage_groups import read_stage_groups
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import STAGE_INPUTS, WEBHOOKS
from tests.faults.ledger import SECRET, Ledger
from tests.faults.oracle import hold_log, hold_tables, read_topic
from tests.faults.pipelines import Pipeline
from tests.faults.vendor import API_KEY, WatchedVendor, running_vendor
from tests.scaling.doors import SpreadLoad
from tests.scaling.model import Model, running_model
from tests.scaling.services import Service, services
from tests.waiting import eventually

#: Two doors, two trees of stages, and the projections.
TWO_OF_EACH: Final = ("ingest-a", "ingest-b", "streams-a", "streams-b", "projections")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What runs."""

    log: LogConnection
    data_dir: Path
    #: What each service is told.
    environment: Mapping[str, str]
    services: Mapping[str, Service]
    vendor: WatchedVendor
    model: Model

    def load(self, *, rate_per_s: float) -> SpreadLoad:
        """Post at all doors that are open while the block runs."""
        return SpreadLoad(
            self._doors,
            self.vendor.schedule.deliveries,
            before_send=self.vendor.sessions.advance,
            rate_per_s=rate_per_s,
        )

    def _doors(self) -> dict[str, str]:
        """As the load balancer knows them: a door that is being stopped is still in its list."""
        return {name: service.url for name, service in self.services.items() if name.startswith("ingest")}

    @property
    def downloads(self) -> Counter[str]:
        """How often the recording of each session was fetched by now."""
        return self.vendor.downloads.counts

    async def take_over_s(self, *, members: int) -> dict[str, float]:
        """After how many seconds from now each stage is shared by just so many members."""
        began_at_s = time.monotonic()
        seconds: dict[str, float] = {}

        async def is_settled() -> bool:
            for group in await read_stage_groups(self.log):
                if (group.state, group.members) == ("Stable", members):
                    seconds.setdefault(group.stage, round(time.monotonic() - began_at_s, 1))
            return seconds.keys() == STAGE_INPUTS.keys()

        await eventually(is_settled, timeout_s=60)
        return seconds

    async def hold(self, ledger: Ledger) -> None:
        """Wait until all is done, and hold the log and the tables against the ledger."""
        async with self.looked_at() as pipeline:
            await pipeline.until_settled()
            stored = await read_topic(self.log, WEBHOOKS.name)
            hold_log(stored, ledger)
            await hold_tables(pipeline, ledger, webhooks=len(stored))

    @asynccontextmanager
    async def looked_at(self) -> AsyncIterator[Pipeline]:
        """All of it as the pipeline that it is, through the projections that there are now."""
        private = self.services["projections"].url
        async with PrivateApi(private) as api:
            yield Pipeline(
                pid=0, data_dir=self.data_dir, ingest="", private=private, log=self.log, api=api, vendor=self.vendor
            )


@asynccontextmanager
async def running_cluster(
    log_address: str, data_dir: Path, *, calls: int, seed: int, names: Collection[str] = TWO_OF_EACH
) -> AsyncIterator[Cluster]:
    """Services of these names; all are ready, and the trees of stages share the partitions."""
    log = LogConnection(log_address)
    await create_topics(log, TopicSettings(partitions=4))
    async with running_vendor(calls=calls, seed=seed) as vendor, running_model(vendor.schedule) as model:
        environment = {
            "POSTCALL_KAFKA": log_address,
            "POSTCALL_DATA_DIR": str(data_dir),
            "POSTCALL_HOST": "127.0.0.1",
            **dict.fromkeys(("POSTCALL_PORT", "POSTCALL_PRIVATE_PORT", "POSTCALL_STREAMS_PORT"), "0"),
            "LAYERCODE_WEBHOOK_SECRET": SECRET,
            "LAYERCODE_API_KEY": API_KEY,
            "LAYERCODE_API_URL": vendor.api_url,
            **model.environment,
        }
        with services(names, data_dir, environment) as members:
            await asyncio.gather(*(member.until_ready() for member in members.values()))
            cluster = Cluster(
                log=log,
                data_dir=data_dir,
                environment=environment,
                services=members,
                vendor=vendor,
                model=model,
            )
            await cluster.take_over_s(members=sum(name.startswith("streams") for name in names))
            yield cluster


def repeated(counts: Counter[str]) -> set[str]:
    """What was done more than once."""
    return {name for name, count in counts.items() if count > 1}
