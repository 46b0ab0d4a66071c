"""The stages under the laws, each as `postcall streams` configures it, with records for it and their results."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postcall.events import RecordingReady, Turn, analyzer_input, input_hash
from postcall.log import encode
from postcall.messages import derive_id
from postcall.records import NewRecord, Record
from postcall.requests import AnalyzeSession, DownloadRecording, Request
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topics import ANALYSIS_REQUESTS, EVENTS, INSIGHTS, RECORDING_REQUESTS, RECORDINGS, WEBHOOKS, Topic
from streams.analyzers import ANALYZERS
from streams.normalize import normalize
from streams.plan import plan
from streams.stage import Stage
from streams.stages import build_stage
from tests.streams.deliveries import deliver, read_back
from tests.streams.laws.outside import Ledger, Model, Outside, Vendor
from tests.streams.ledger_worker import LedgerWorker, make_stage
from tests.streams.requests import AT

#: How much slow work may be under way at once.
CONCURRENCY = 4


@dataclass(frozen=True, kw_only=True, order=True)
class Result:
    """What tells a result from others: `ce_id` and `ce_type`."""

    id: str | None
    kind: str | None

    @staticmethod
    def read(record: Record) -> Result:
        """The result in a record."""
        return Result(id=record.header("ce_id"), kind=record.header("ce_type"))


class Subject:
    """A stage of postcall, and what goes in and out of it."""

    name: str
    reads: Topic
    results: Topic
    #: So much of a backlog takes a moment.
    backlog = 1500
    #: Whether it does each request once, or each record as often as it comes.
    is_slow = False
    #: The `ce_type` of a result that is final.
    kind: str
    #: None = it acts upon nothing.
    outside: Outside | None = None

    def build(self, log: str, data_dir: Path) -> Stage:
        """The stage, with its files in a directory of its own."""
        flags: dict[str, Any] = {
            "data_dir": data_dir,
            "kafka": log,
            "recording_concurrency": CONCURRENCY,
            "analysis_concurrency": CONCURRENCY,
        }
        return build_stage(self.name, Configuration(environment=self.environment, flags=flags), data_dir)

    @property
    def environment(self) -> dict[str, str]:
        """The settings that are not flags."""
        return {}

    def source(self, session_id: str, number: int = 0) -> NewRecord:
        """A record to take, one of many of a session."""
        raise NotImplementedError

    def expect(self, source: NewRecord) -> list[Result]:
        """What it leads to."""
        raise NotImplementedError

    def unreadable(self, number: int) -> NewRecord:
        """A record that nobody can use, one of many."""
        return NewRecord(topic=self.reads.name, key=b"u-1", value=b"not ours %d" % number)


class Normalize(Subject):
    name, reads, results, kind = "normalize", WEBHOOKS, EVENTS, "TurnReceived"

    def source(self, session_id: str, number: int = 0) -> NewRecord:
        body = {
            "type": "message",
            "session_id": session_id,
            "conversation_id": "c-1",
            "turn_id": f"t-{number}",
            "text": "My boiler is leaking.",
        }
        return deliver(body, session_id=session_id)

    def expect(self, source: NewRecord) -> list[Result]:
        return _read_all(normalize(read_back(source), load_sources(Configuration())))

    def unreadable(self, number: int) -> NewRecord:
        return deliver(b"{broken %d" % number, session_id="u-1")


class Plan(Subject):
    name, reads, results, kind = "plan", EVENTS, RECORDING_REQUESTS, "DownloadRecording"

    def source(self, session_id: str, number: int = 0) -> NewRecord:
        event = RecordingReady(session_id=session_id, url=f"https://api.example/{session_id}/{number}")
        return encode(event, source="layercode", time=AT)

    def expect(self, source: NewRecord) -> list[Result]:
        return _read_all(plan(read_back(source), ANALYZERS))


class SlowSubject(Subject):
    backlog = 40
    is_slow = True

    def request(self, session_id: str) -> Request:
        """The work that is asked for."""
        raise NotImplementedError

    def source(self, session_id: str, number: int = 0) -> NewRecord:
        assert number == 0, "there is one request for each session"
        return encode(self.request(session_id), source="plan", time=AT)

    def expect(self, source: NewRecord) -> list[Result]:
        request_id = read_back(source).header("ce_id")
        return [Result(id=str(derive_id("outcome", str(request_id), "1")), kind=self.kind)]


class Recordings(SlowSubject):
    name, reads, results, kind = "recordings", RECORDING_REQUESTS, RECORDINGS, "RecordingStored"

    def __init__(self) -> None:
        self.outside: Vendor = Vendor()

    @property
    def environment(self) -> dict[str, str]:
        return {"LAYERCODE_API_URL": f"{self.outside.origin}/v1", "LAYERCODE_API_KEY": "key"}

    def request(self, session_id: str) -> Request:
        return DownloadRecording(session_id=session_id, vendor="layercode", url=self.outside.url_of(session_id))


class LocalInsights(SlowSubject):
    """Analyzed by the local rules."""

    name, reads, results, kind = "insights", ANALYSIS_REQUESTS, INSIGHTS, "InsightExtracted"

    def request(self, session_id: str) -> Request:
        turns = (Turn(role="user", text=Model.words_of(session_id)),)
        return AnalyzeSession(
            session_id=session_id,
            analyzer="summary",
            revision=1,
            input=analyzer_input(turns).decode(),
            input_hash=input_hash(turns),
        )


class Insights(LocalInsights):
    """Analyzed by a model."""

    def __init__(self) -> None:
        self.outside: Model = Model()

    @property
    def environment(self) -> dict[str, str]:
        return {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": f"{self.outside.origin}/v1"}


class LedgerWork(SlowSubject):
    """A slow stage around any worker, as a user's own will be."""

    name, reads, results, kind = "recordings", RECORDING_REQUESTS, RECORDINGS, "RecordingStored"

    def __init__(self) -> None:
        self.outside: Ledger = Ledger()

    def request(self, session_id: str) -> Request:
        return DownloadRecording(session_id=session_id, vendor="layercode", url=f"https://api.example/{session_id}")

    def build(self, log: str, data_dir: Path) -> Stage:
        worker = LedgerWorker(data_dir / "ledger", answer=self.outside.answer, concurrency=CONCURRENCY)
        return make_stage(worker, log=log, data_dir=data_dir)


@contextlib.asynccontextmanager
async def _opened(subject: Subject) -> AsyncIterator[Subject]:
    if subject.outside is None:
        yield subject
        return
    await subject.outside.open()
    try:
        yield subject
    finally:
        await subject.outside.close()


def opened(kind: type[Subject]) -> AbstractAsyncContextManager[Subject]:
    """A subject, with what is outside of it."""
    return _opened(kind())


def _read_all(records: Sequence[NewRecord]) -> list[Result]:
    return [Result.read(read_back(record)) for record in records]
