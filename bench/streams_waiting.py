"""What waiting costs: the stage `insights` with many requests that wait for their time, against one with none.

The stage has lost its work index and makes it again from the log, while its group has taken all requests. CPU is that
of the stage's process while nothing happens; then live requests are asked for one by one, and timed from the append to
the outcome. The model is a stub that answers at once. Requests wait for a day.

    python -m bench.streams_waiting [--log kafka] [--waiting 100000] [--seconds 30] [--live 20]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.logs import EmptyLog, add_log_option, open_logs
from bench.model_stub import running_stub
from bench.stages import (
    PARTITIONS,
    analysis,
    deferred,
    fill,
    read_usage,
    requested,
    stage,
    until_ready,
    until_written,
)
from postcall.kafka import append, open_consumer, open_producer
from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ANALYSIS_REQUESTS, INSIGHTS, stage_group
from streams.group_offsets import commit_for_group

# Faust and its clients have more to do in the first seconds.
_SETTLING_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a stage took while it waited, and its answers to live requests."""

    ready_s: float
    cpu_s_per_minute: float
    memory_mb: float
    latencies_ms: list[float]

    def __str__(self) -> str:
        median_ms, most_ms = statistics.median(self.latencies_ms), max(self.latencies_ms)
        return (
            f"ready in {self.ready_s:5.1f} s   {self.cpu_s_per_minute:5.2f} s CPU a minute   {self.memory_mb:4.0f} MB"
            f"   live request: median {median_ms:.0f} ms, most {most_ms:.0f} ms"
        )


async def main() -> None:
    """Measure, and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="for which the CPU is watched")
    parser.add_argument("--live", type=int, default=20, help="live requests")
    options = parser.parse_args()
    with open_logs(options.log) as empty_log:
        for waiting in (0, options.waiting):
            cost = await measure(empty_log, waiting, options.seconds, options.live)
            load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            print(f"{waiting:8,} waiting   {cost}   {load}", flush=True)


async def measure(empty_log: EmptyLog, waiting: int, seconds: float, live: int) -> Cost:
    """A stage that finds so many requests waiting."""
    with tempfile.TemporaryDirectory() as directory, empty_log() as log, running_stub(0.0) as url:
        await create_topics(log, TopicSettings(partitions=PARTITIONS))
        environment = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": url}
        async with open_producer(log, max_batch_size=1024 * 1024) as producer, open_consumer(log) as consumer:
            await fill(producer, (requested(analysis(number)) for number in range(waiting)))
            await fill(producer, (deferred(analysis(number), wait=timedelta(days=1)) for number in range(waiting)))
            await _note_taken(log, consumer)
            began = time.perf_counter()
            with stage("insights", log, Path(directory), environment) as process:
                await until_ready(process)
                ready_s = time.perf_counter() - began
                await asyncio.sleep(_SETTLING_S)
                cpu_before_s, watched_from = read_usage(process.pid).cpu_s, time.perf_counter()
                await asyncio.sleep(seconds)
                usage, watched_s = read_usage(process.pid), time.perf_counter() - watched_from
                latencies_ms = [
                    await _time_live(producer, consumer, number) for number in range(waiting, waiting + live)
                ]
    return Cost(
        ready_s=ready_s,
        cpu_s_per_minute=60 * (usage.cpu_s - cpu_before_s) / watched_s,
        memory_mb=usage.peak_mb,
        latencies_ms=latencies_ms,
    )


async def _note_taken(log: LogConnection, consumer: AIOKafkaConsumer) -> None:
    """Let the group have taken all requests, so that it is the waiting that is measured and not their taking."""
    places = [TopicPartition(ANALYSIS_REQUESTS.name, partition) for partition in range(PARTITIONS)]
    ends = {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}
    assert await commit_for_group(log, stage_group("insights"), ANALYSIS_REQUESTS, ends)


async def _time_live(producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, number: int) -> float:
    began = time.perf_counter()
    await append(producer, [requested(analysis(number))])
    # There is one outcome already of each that waits, and one of each live one before.
    await until_written(consumer, INSIGHTS, number + 1)
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    uvloop.run(main())
