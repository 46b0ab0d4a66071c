"""A law of crashes: killed between any two steps, a stage loses nothing, and what it does again has the same ids."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.faults.fuses import Fuses
from tests.streams.laws.pipeline import opened_pipeline, until_all_ready

#: Which stages are killed where, at the same time.
_ROUNDS: Final = (
    (
        "normalize.after_append_before_ack",
        "plan.after_append_before_ack",
        "recordings.after_perform_before_outcome",
        "insights.after_outcome_before_index",
    ),
    ("recordings.after_outcome_before_index", "insights.after_perform_before_outcome"),
    ("recordings.after_append_before_ack", "insights.after_append_before_ack"),
)


@pytest.mark.timeout(300)
@pytest.mark.both_logs
async def test_a_crash_between_any_two_steps_loses_nothing_and_adds_no_new_result(
    log: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Apache Kafka waits for each dead member's session to end; where a stage dies is nothing to it.
    rounds = _ROUNDS[:1] if "kafka" in request.node.name else _ROUNDS
    fuses = Fuses(tmp_path / "fuses")
    sessions: list[str] = []
    async with opened_pipeline(log, tmp_path) as pipeline:
        with pipeline.running(fuses.environment) as process:
            await until_all_ready(process)
            for number, names in enumerate(rounds):
                burning = asyncio.create_task(fuses.burn(*names))
                await asyncio.sleep(0)
                added = [f"r{number}-{session}" for session in range(12)]
                await pipeline.put(added)
                sessions += added
                await burning
            await pipeline.until_done(sessions)
            await until_all_ready(process)
            assert process.stop(limit_s=30) == 0
        await pipeline.hold_exactly(sessions)
        for outside in (pipeline.vendor, pipeline.model):
            assert set(outside.asked) == set(sessions)
            # Each died in each round once at most.
            assert max(outside.asked.values()) <= 1 + len(rounds)
        assert pipeline.vendor.asked.total() + pipeline.model.asked.total() <= 2 * len(sessions) + 2 * len(rounds) * 16
