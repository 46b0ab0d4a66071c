"""What the benchmarks of slow stages share: a stage as the process that `postcall streams` makes of it, and its work.

CPU time and memory of another process are read from `/proc`, so on Linux only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from postcall.events import Turn, analyzer_input, input_hash
from postcall.kafka import append
from postcall.log import encode
from postcall.log_connection import LogConnection
from postcall.outcomes import AnalysisDeferred, InsightExtracted
from postcall.records import NewRecord
from postcall.requests import AnalyzeSession
from postcall.topics import Topic
from tests.streams.stage_process import StageProcess, stage_process
from tests.waiting import eventually

PARTITIONS = 4
_TURNS = 18
_AT = datetime(2026, 2, 3, 9, 16, 21, tzinfo=UTC)
_AT_ONCE = 1000
_LIMIT_S = 600.0

_TRANSCRIPT = tuple(
    Turn(
        role="user" if turn % 2 else "assistant",
        text=f"This is what was said in turn {turn} of a call about a boiler that leaks, at some length.",
    )
    for turn in range(_TURNS)
)
_INPUT = analyzer_input(_TRANSCRIPT).decode()
_HASH = input_hash(_TRANSCRIPT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a process took until now."""

    cpu_s: float
    peak_mb: float


def read_usage(pid: int) -> Usage:
    """CPU seconds, in user and kernel mode, and the most memory that it had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line for line in status if line.startswith("VmHWM:"))
    return Usage(
        cpu_s=sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"),
        peak_mb=int(peak.split()[1]) / 1024,
    )


@contextlib.contextmanager
def stage(
    name: str, log: LogConnection, data_dir: Path, environment: Mapping[str, str] | None = None
) -> Iterator[StageProcess]:
    """The process of a stage; it ends in order when the block ends."""
    arguments = ("postcall", "streams", "--stage", name, "--data-dir", str(data_dir), "--kafka", log.bootstrap_servers)
    with stage_process(*arguments, log_file=data_dir / "stage.log", environment=environment) as process:
        yield process
        process.stop()


async def until_ready(process: StageProcess) -> None:
    """Return once it owns its partitions."""
    await process.until_logged("Stage is ready", timeout_s=_LIMIT_S)


async def until_written(consumer: AIOKafkaConsumer, topic: Topic, count: int) -> None:
    """Return once a topic has so many records."""
    places = [TopicPartition(topic.name, partition) for partition in range(PARTITIONS)]

    async def is_written() -> bool:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return sum(ends.values()) >= count

    await eventually(is_written, timeout_s=_LIMIT_S)


async def fill(producer: AIOKafkaProducer, records: Iterable[NewRecord]) -> None:
    """Append many."""
    batch: list[NewRecord] = []
    for record in records:
        batch.append(record)
        if len(batch) == _AT_ONCE:
            await append(producer, batch)
            batch.clear()
    await append(producer, batch)


def analysis(number: int, *, is_long: bool = True) -> AnalyzeSession:
    """One of many requests, each for a session of its own: with a transcript of 2 kB, or with next to none."""
    return AnalyzeSession(
        session_id=f"session-{number:08}",
        analyzer="summary",
        revision=1,
        input=_INPUT if is_long else '{"turns":[]}',
        input_hash=_HASH,
        occurred_at="2026-02-03T09:14:02+00:00",
    )


def requested(request: AnalyzeSession) -> NewRecord:
    """As `plan` writes it."""
    return encode(request, source="plan", time=_AT)


def extracted(request: AnalyzeSession) -> NewRecord:
    """Done."""
    outcome = InsightExtracted(
        session_id=request.session_id,
        request_id=request.request_id,
        attempt=1,
        analyzer=request.analyzer,
        revision=request.revision,
        input_hash=request.input_hash,
        trigger=request.trigger,
        produced_at=_AT,
        model="gpt-5-mini",
        result={"summary": "The caller's boiler leaks. A visit was arranged.", "intent": "booking"},
    )
    return encode(outcome, source="insights", time=_AT)


def deferred(request: AnalyzeSession, *, wait: timedelta) -> NewRecord:
    """To be tried again, then."""
    outcome = AnalysisDeferred(
        session_id=request.session_id,
        request_id=request.request_id,
        attempt=1,
        analyzer=request.analyzer,
        revision=request.revision,
        input_hash=request.input_hash,
        trigger=request.trigger,
        produced_at=_AT,
        not_before=datetime.now(UTC) + wait,
        reason="the model is busy",
    )
    return encode(outcome, source="insights", time=_AT)
