"""A law of the log: while it does not answer stages pause, say so, set nothing aside, and go on by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from tests.logs.own_node import stoppable_log
from tests.streams.laws.bench import Bench
from tests.streams.laws.pipeline import opened_pipeline, states, until_all_ready
from tests.streams.laws.subjects import Normalize
from tests.streams.log_contents import PARTITIONS
from tests.waiting import eventually

_EITHER = pytest.mark.parametrize(
    "is_kafka", [False, pytest.param(True, marks=pytest.mark.kafka)], ids=["embedded", "kafka"]
)


@pytest.mark.timeout(300)
@_EITHER
async def test_a_log_that_stops_answering_pauses_the_stages_and_they_go_on_once_it_answers(
    request: pytest.FixtureRequest, tmp_path: Path, is_kafka: bool
) -> None:
    sessions = [f"s-{number}" for number in range(6)]
    later = [f"later-{number}" for number in range(6)]
    with stoppable_log(request.node, tmp_path / "log", is_kafka=is_kafka) as log:
        await create_topics(LogConnection(log.address), TopicSettings(partitions=PARTITIONS))
        async with opened_pipeline(log.address, tmp_path) as pipeline:
            with pipeline.running({}) as process:
                await until_all_ready(process)
                outsides = (pipeline.vendor, pipeline.model)
                for outside in outsides:
                    outside.gate.close()
                await pipeline.put(sessions)
                await eventually(lambda: all(len(each.gate.waiting) == 6 for each in outsides), timeout_s=60)
                log.pause()
                for outside in outsides:
                    outside.gate.open()
                acting = ("recordings", "insights")
                await eventually(lambda: all("paused" in states(process)[name] for name in acting), timeout_s=90)
                log.resume()
                await pipeline.put(later)
                await pipeline.until_done([*sessions, *later])
                await until_all_ready(process)
                told = states(process)
                assert process.stop(limit_s=30) == 0
            await pipeline.hold_exactly([*sessions, *later])
            for outside in outsides:
                assert outside.asked == dict.fromkeys([*sessions, *later], 1), "what was done was done again"
    for name in acting:
        assert told[name].count("paused") == 1
    assert "the log or the disk failed" in (tmp_path / "output").read_text()


@pytest.mark.timeout(180)
async def test_a_stage_that_derives_pauses_too_and_loses_nothing(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sessions = [f"s-{number}" for number in range(300)]
    with stoppable_log(request.node, tmp_path / "log", is_kafka=False) as log:
        await create_topics(LogConnection(log.address), TopicSettings(partitions=PARTITIONS))
        bench = Bench(Normalize(), log.address, tmp_path)
        await bench.put(*sessions)

        def stop_log(session_id: str) -> bool:
            bench.own_code.fails = lambda _: False
            log.pause()
            return not session_id

        bench.own_code.fails = stop_log
        async with bench.running():
            await eventually(lambda: bench.is_paused, timeout_s=60)
            log.resume()
            await bench.until_done(*sessions)
            await eventually(lambda: not bench.is_paused, timeout_s=60)
        assert set(await bench.results()) == bench.expected(sessions)
        assert not await bench.letters()
