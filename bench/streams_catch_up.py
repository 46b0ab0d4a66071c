"""How long a stage takes to learn from the log what is done and what is to do, when it has lost its work index.

Half of the records are requests, and half their outcomes. The ceiling reads the same partitions in the same order with
`getmany`, and does nothing with what it reads. Each side is a process of its own, and they take turns.

    python -m bench.streams_catch_up [--log kafka] [--requests 100000] [--rounds 3] [--long]
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import uvloop
from aiokafka import TopicPartition

from bench.logs import add_log_option, open_logs
from bench.stages import PARTITIONS, analysis, extracted, fill, requested
from postcall.kafka import open_consumer, open_producer
from postcall.log_connection import LogConnection
from postcall.records import NewRecord
from postcall.settings import Configuration
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ANALYSIS_REQUESTS, INSIGHTS
from streams.insights import InsightsWorker
from streams.slow_stage import SlowStage

_BATCH_RECORDS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a contender took; memory is the most that its process had."""

    seconds: float
    cpu_s: float
    memory_mb: float

    def describe(self, records: int) -> str:
        """One line."""
        rate, memory = records / self.seconds, self.memory_mb
        return f"{self.seconds:7.2f} s  {rate:9,.0f} records/s  {self.cpu_s:7.2f} s CPU  {memory:5.0f} MB"


async def main() -> None:
    """Measure, and print two lines per round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="requests with a transcript of 2 kB, not with none")
    options = parser.parse_args()
    records = 2 * options.requests
    with open_logs(options.log) as empty_log, empty_log() as log:
        await create_topics(log, TopicSettings(partitions=PARTITIONS))
        async with open_producer(log, max_batch_size=1024 * 1024) as producer:
            await fill(producer, _contents(options.requests, is_long=options.long))
        for _ in range(options.rounds):
            ceiling, stage = measure(read_alone, log), measure(catch_up, log)
            print(f"getmany   {ceiling.describe(records)}")
            print(
                f"catch-up  {stage.describe(records)}   {ceiling.seconds / stage.seconds:.2f} of it, "
                f"{ceiling.cpu_s / stage.cpu_s:.2f} by CPU   load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
                flush=True,
            )


def measure(contender: Callable[[LogConnection, Path], Awaitable[None]], log: LogConnection) -> Cost:
    """Run it in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(_run, contender, log).result()


def _run(contender: Callable[[LogConnection, Path], Awaitable[None]], log: LogConnection) -> Cost:
    with tempfile.TemporaryDirectory() as directory:
        cpu_before_s, began = time.process_time(), time.perf_counter()
        uvloop.run(contender(log, Path(directory)))  # type: ignore[arg-type]  # both are coroutine functions
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Cost(seconds=seconds, cpu_s=cpu_s, memory_mb=peak / (1024**2 if sys.platform == "darwin" else 1024))


async def catch_up(log: LogConnection, directory: Path) -> None:
    """As the stage does after its partitions were assigned."""
    worker = InsightsWorker(Configuration(environment={}, flags={"data_dir": directory}))
    stage = SlowStage(worker, log=log, directory=directory)
    try:
        for partition in range(PARTITIONS):
            await stage.catch_up(partition)
    finally:
        stage.index.close()


async def read_alone(log: LogConnection, directory: Path) -> None:
    """Nothing but the reading."""
    del directory
    for partition in range(PARTITIONS):
        async with open_consumer(log, max_poll_records=_BATCH_RECORDS) as consumer:
            places = [TopicPartition(topic.name, partition) for topic in (ANALYSIS_REQUESTS, INSIGHTS)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            for place in places:
                while await consumer.position(place) < ends[place]:
                    await consumer.getmany(place, timeout_ms=1000)


def _contents(requests: int, *, is_long: bool) -> Iterator[NewRecord]:
    for number in range(requests):
        request = analysis(number, is_long=is_long)
        yield requested(request)
        yield extracted(request)


if __name__ == "__main__":
    uvloop.run(main())
