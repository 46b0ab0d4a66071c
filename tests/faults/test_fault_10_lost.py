"""Fault 10: retention took records before they were read, and Kafka has forgotten the groups' offsets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.topics import EVENTS, STAGE_INPUTS, WEBHOOKS, stage_group
from tests.faults.alterations import delete_records, end_offsets, forget_groups
from tests.faults.ledger import Ledger
from tests.faults.oracle import hold_log, hold_tables, read_topic
from tests.faults.pipelines import load_door, running_door, running_pipeline
from tests.faults.vendor import running_vendor
from tests.logs.java_node import JavaNode

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


async def test_fault_10_records_that_were_lost_unread_are_told_and_nothing_else_is_skipped_or_doubled(
    own_kafka: JavaNode, tmp_path: Path
) -> None:
    address, data_dir = own_kafka.address, tmp_path / "data"
    log, ledger = LogConnection(address), Ledger()
    async with running_vendor(calls=400, seed=103) as vendor:
        async with running_pipeline(address, data_dir, vendor) as pipeline:
            async with pipeline.load(ledger) as load:
                await load.until_accepted(more=50)
            await pipeline.until_drained()
        events = await end_offsets(log, EVENTS.name)
        await forget_groups(log, map(stage_group, STAGE_INPUTS))
        async with running_pipeline(address, data_dir, vendor) as pipeline:
            await pipeline.until_drained()
            assert await end_offsets(log, EVENTS.name) == events, "what was read is known without the groups"
        read = await end_offsets(log, WEBHOOKS.name)
        async with running_door(address) as url, load_door(url, vendor, ledger) as load:
            await load.until_accepted(more=50)
        stored = await read_topic(log, WEBHOOKS.name)
        ends = await end_offsets(log, WEBHOOKS.name)
        begins = {place: read[place] + (end - read[place]) // 2 for place, end in ends.items()}
        await delete_records(log, begins)
        async with running_pipeline(address, data_dir, vendor) as pipeline:
            findings = await pipeline.until_held("normalize", "projections")
            assert {
                (finding.partition, finding.from_offset, finding.to_offset, finding.count) for finding in findings
            } == {(place.partition, read[place], begin, begin - read[place]) for place, begin in begins.items()}
            await pipeline.accept_log()
            await pipeline.until_drained()
            lost = [record for record in stored if is_lost(record, read, begins)]
            hold_log(stored, ledger)
            told = ledger.without({record.header("receipt-id") for record in lost})
            await hold_tables(pipeline, told, webhooks=len(stored) - len(lost))


def is_lost(record: Record, read: Mapping[TopicPartition, int], begins: Mapping[TopicPartition, int]) -> bool:
    place = TopicPartition(record.topic, record.partition)
    return read[place] <= record.offset < begins[place]
