"""Fault 11: topics have more partitions than before, so a session may lie in two of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from postcall.topics import ALL_TOPICS, STAGE_INPUTS
from tests.faults.alterations import add_partitions
from tests.faults.oracle import hold_oracle
from tests.faults.pipelines import running_pipeline
from tests.faults.vendor import running_vendor
from tests.logs.java_node import JavaNode

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


async def test_fault_11_more_partitions_than_before_are_read_once_they_are_accepted(
    own_kafka: JavaNode, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with (
        running_vendor(calls=400, seed=111) as vendor,
        running_pipeline(own_kafka.address, tmp_path / "data", vendor) as pipeline,
    ):
        async with pipeline.load() as load:
            await load.until_accepted(more=50)
            began_at_s = time.monotonic()
            await add_partitions(pipeline.log, [topic.name for topic in ALL_TOPICS], total=6)
            findings = await pipeline.until_held(*STAGE_INPUTS, "projections", timeout_s=90)
            record_property("all readers held after, s", round(time.monotonic() - began_at_s, 1))
            assert {(finding.kind, finding.count) for finding in findings} == {("more_partitions", 2)}
            await load.until_accepted(more=50)
            assert "goes on with all partitions" in await pipeline.accept_log()
            await load.until_accepted(more=50)
        await hold_oracle(pipeline, load.ledger)
