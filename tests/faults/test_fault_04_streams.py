"""Fault 4: `streams` dies within downloads and model calls, and between what was done and what is known of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from postcall.crash_points import CrashPoint
from postcall.topics import INSIGHTS, RECORDINGS, Topic
from tests.faults.effects import Disturbance, Effects
from tests.faults.fuses import Fuses
from tests.faults.oracle import hold_oracle, read_outcomes, read_topic
from tests.faults.pipelines import Pipeline, running_pipeline
from tests.faults.stored_files import hold_whole, parts
from tests.faults.vendor import WatchedVendor, running_vendor
from tests.pipeline.processes import kill_service
from tests.scaling.model import Model, running_model
from tests.waiting import eventually

pytestmark = [pytest.mark.embedded_log, pytest.mark.timeout(300)]

#: Of the settings: so much is under way at once.
_DOWNLOADS_AT_ONCE, _MODEL_CALLS_AT_ONCE = 8, 16


async def test_fault_04_a_kill_of_streams_costs_the_calls_in_flight_and_no_more(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    data_dir, fuses = tmp_path / "data", Fuses(tmp_path / "fuses")
    async with (
        running_vendor(calls=400, seed=41) as vendor,
        running_model(vendor.schedule) as model,
        running_pipeline(None, data_dir, vendor, **model.environment, **fuses.environment) as pipeline,
    ):
        async with pipeline.load() as load:
            deaths = [await _kill_in_the_middle(pipeline, vendor, model)]
            await load.until_accepted(more=50)
        await pipeline.until_settled()
        async with pipeline.load(load.ledger) as load:
            deaths += await fuses.burn("normalize.after_append_before_ack", "plan.after_append_before_ack")
            died, download, call = await _die_at("after_perform_before_outcome", fuses, vendor, model)
            deaths += died
        await pipeline.until_settled()
        assert (vendor.downloads.counts[download], model.calls.counts[call]) == (1, 2), (
            "the file is kept, and no answer"
        )
        async with pipeline.load(load.ledger) as load:
            died, download, call = await _die_at("after_outcome_before_index", fuses, vendor, model)
            deaths += died
        await pipeline.until_settled()
        assert (vendor.downloads.counts[download], model.calls.counts[call]) == (1, 1), "both are in the log"
        for kind, effects, topic in (("downloads", vendor.downloads, RECORDINGS), ("calls", model.calls, INSIGHTS)):
            record_property(f"{kind} made twice, in flight", await _hold_effects(pipeline, effects, topic, deaths))
        await hold_oracle(pipeline, load.ledger)
        assert hold_whole(data_dir, vendor) == vendor.downloads.counts.keys()
        assert not parts(data_dir)


async def _kill_in_the_middle(pipeline: Pipeline, vendor: WatchedVendor, model: Model) -> Disturbance:
    """kill -9 of all stages while each download is half done, and every call of the model unanswered."""
    vendor.half_way.close()
    model.answering.close()
    await eventually(lambda: len(vendor.half_way.waiting) == _DOWNLOADS_AT_ONCE, timeout_s=60)
    await eventually(lambda: len(model.answering.waiting) == _MODEL_CALLS_AT_ONCE, timeout_s=60)
    await eventually(lambda: len(parts(pipeline.data_dir)) == _DOWNLOADS_AT_ONCE)
    assert not hold_whole(pipeline.data_dir, vendor) & vendor.downloads.under_way
    killed_at_s = time.time()
    kill_service(pipeline.pid, "streams")
    death = Disturbance(what="kill -9 of streams", from_s=killed_at_s, to_s=time.time())
    assert not hold_whole(pipeline.data_dir, vendor) & vendor.downloads.under_way
    vendor.half_way.open()
    model.answering.open()
    return death


async def _die_at(
    point: CrashPoint, fuses: Fuses, vendor: WatchedVendor, model: Model
) -> tuple[list[Disturbance], str, str]:
    """Let one of several downloads, and of several calls, end; it takes its stage to this point and no further.

    Says when the stages died, and whose download and call it was.
    """
    vendor.half_way.close()
    model.answering.close()
    await eventually(lambda: min(len(vendor.half_way.waiting), len(model.answering.waiting)) > 1, timeout_s=60)
    burning = asyncio.create_task(fuses.burn(f"recordings.{point}", f"insights.{point}"))
    await asyncio.sleep(0)
    download, call = vendor.half_way.let_one_through(), model.answering.let_one_through()
    deaths = await burning
    vendor.half_way.open()
    model.answering.open()
    return deaths, download, call


async def _hold_effects(
    pipeline: Pipeline, effects: Effects, topic: Topic, deaths: list[Disturbance]
) -> tuple[int, int]:
    """Hold that only what was in flight was done again, under the same id; says how much was, and could have been."""
    in_flight = effects.in_flight(deaths, await read_outcomes(pipeline.log, topic))
    doubled = effects.doubled()
    assert set(doubled) <= set(in_flight), "what was done and known of was done again"
    assert doubled, "nothing was killed that was under way"
    finals = {
        (record.key, record.header("ce_id"))
        for record in await read_topic(pipeline.log, topic.name)
        if record.header("ce_type") in {"RecordingStored", "InsightExtracted"}
    }
    assert len(finals) == len({key for key, _ in finals}), "the same work has two results"
    return len(doubled), len(in_flight)
