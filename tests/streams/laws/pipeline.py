"""`postcall streams` as it is, with all its stages in processes of their own, between a log, a vendor and a model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from postcall.records import NewRecord
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topics import (
    ANALYSIS_REQUESTS,
    DEAD_LETTERS,
    EVENTS,
    INSIGHTS,
    RECORDING_REQUESTS,
    RECORDINGS,
    STAGE_INPUTS,
    Topic,
)
from streams.analyzers import ANALYZERS
from streams.normalize import normalize
from streams.plan import plan
from tests.streams.deliveries import END_BODY, UPDATE_BODY, deliver, read_back
from tests.streams.laws.outside import Model, Vendor
from tests.streams.laws.subjects import Insights, Recordings, Result, opened
from tests.streams.log_contents import append_all, count_records, read_all
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

_STATE = re.compile(r"action=child_(\w+) child=(\w+)")


class Pipeline:
    """All that lies around the stages."""

    def __init__(self, log: str, folder: Path, recordings: Recordings, insights: Insights) -> None:
        self.vendor: Vendor = recordings.outside
        self.model: Model = insights.outside
        self._log = log
        self._folder = folder
        self._subjects = (recordings, insights)

    @contextlib.contextmanager
    def running(self, environment: Mapping[str, str]) -> Iterator[StageProcess]:
        """`postcall streams`, killed with the block if it still runs."""
        arguments = ("postcall", "streams", "--kafka", self._log, "--data-dir", str(self._folder / "data"))
        own = dict(chain.from_iterable(subject.environment.items() for subject in self._subjects))
        with stage_process(*arguments, log_file=self._folder / "output", environment={**own, **environment}) as process:
            yield process

    def deliveries(self, sessions: Iterable[str]) -> list[NewRecord]:
        """Of each session the end, with what was said, and where its recording is."""
        return [deliver(body, session_id=session_id) for session_id in sessions for body in self._bodies(session_id)]

    def _bodies(self, session_id: str) -> list[dict[str, Any]]:
        said = [{"role": "user", "text": Model.words_of(session_id)}]
        return [
            {**END_BODY, "session_id": session_id, "transcript": said},
            {**UPDATE_BODY, "session_id": session_id, "recording_url": self.vendor.url_of(session_id)},
        ]

    async def put(self, sessions: Iterable[str]) -> None:
        """Append them."""
        await append_all(self._log, self.deliveries(sessions))

    def expected(self, sessions: Iterable[str]) -> dict[Topic, set[Result]]:
        """What the stages make of these, topic by topic."""
        sources = load_sources(Configuration())
        events = [event for each in self.deliveries(sessions) for event in normalize(read_back(each), sources)]
        requests = [request for event in events for request in plan(read_back(event), ANALYZERS)]
        recordings, insights = self._subjects
        return {
            EVENTS: set(map(_read, events)),
            RECORDING_REQUESTS: {_read(each) for each in requests if each.topic == RECORDING_REQUESTS.name},
            ANALYSIS_REQUESTS: {_read(each) for each in requests if each.topic == ANALYSIS_REQUESTS.name},
            RECORDINGS: {
                r for each in requests if each.topic == recordings.reads.name for r in recordings.expect(each)
            },
            INSIGHTS: {r for each in requests if each.topic == insights.reads.name for r in insights.expect(each)},
        }

    async def until_done(self, sessions: Iterable[str]) -> None:
        """Return once the log has all that follows from these."""
        for topic, expected in self.expected(sessions).items():

            async def is_there(topic: Topic = topic, expected: set[Result] = expected) -> bool:
                return expected <= await self.results(topic)

            await eventually(is_there, timeout_s=120)

    async def results(self, topic: Topic) -> set[Result]:
        """What a topic holds; a repeat counts once."""
        return {Result.read(record) for record in await read_all(self._log, topic)}

    async def hold_exactly(self, sessions: Iterable[str]) -> None:
        """Hold that nothing is there but what follows from these, and that nothing was set aside."""
        for topic, expected in self.expected(sessions).items():
            assert await self.results(topic) == expected, topic.name
        assert await count_records(self._log, DEAD_LETTERS) == 0


@contextlib.asynccontextmanager
async def opened_pipeline(log: str, folder: Path) -> AsyncIterator[Pipeline]:
    """A log, a vendor and a model that wait for the stages."""
    async with opened(Recordings) as recordings, opened(Insights) as insights:
        assert isinstance(recordings, Recordings)
        assert isinstance(insights, Insights)
        yield Pipeline(log, folder, recordings, insights)


def states(process: StageProcess) -> dict[str, list[str]]:
    """What the supervisor was told of each stage, in order."""
    told: dict[str, list[str]] = {stage: [] for stage in STAGE_INPUTS}
    for state, stage in _STATE.findall(process.logged):
        told[stage].append(state)
    return told


async def until_all_ready(process: StageProcess) -> None:
    """Return once each stage said last that it is ready."""
    await eventually(lambda: all(told[-1:] == ["ready"] for told in states(process).values()), timeout_s=90)


def _read(record: NewRecord) -> Result:
    return Result.read(read_back(record))
