"""The stage `insights` against a model server that is a stub: how many analyses a second, and at what cost.

With a stub that takes its time, the ceiling is concurrency / latency. With one that answers at once, it is the same
client in a bare loop: the same prompts, as many at once, the answers read, no log and no index. Each side is a
process of its own. CPU is that of the measured process alone.

    python -m bench.streams_insights [--log kafka] [--requests 2560] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import uvloop

from bench.logs import EmptyLog, add_log_option, open_logs
from bench.model_stub import running_stub
from bench.stages import PARTITIONS, analysis, fill, read_usage, requested, stage, until_ready, until_written
from postcall.kafka import open_consumer, open_producer
from postcall.outcomes import InsightExtracted
from postcall.settings import Configuration
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import INSIGHTS
from streams.insights import InsightsWorker

_CONCURRENCY = 64
_SLOW_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """Analyses a second, and what one of them costs the process."""

    per_s: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"{self.per_s:7.1f}/s  {self.cpu_ms:6.2f} ms CPU each"


async def main() -> None:
    """Measure, and print one line per round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--requests", type=int, default=40 * _CONCURRENCY)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("slow", "instant"), help="one of the two models")
    options = parser.parse_args()
    with open_logs(options.log) as empty_log:
        for _ in range(options.rounds):
            if options.only != "instant":
                slow = await measure_stage(empty_log, options.requests, _SLOW_S)
                ratio = slow.per_s * _SLOW_S / _CONCURRENCY
                print(f"500 ms model   stage {slow}   {ratio:.2f} of concurrency / latency   {_load()}", flush=True)
            if options.only != "slow":
                bare = measure_bare(options.requests)
                quick = await measure_stage(empty_log, options.requests, 0.0)
                print(
                    f"instant model  stage {quick}   client alone {bare}"
                    f"   {quick.per_s / bare.per_s:.2f} of it, {bare.cpu_ms / quick.cpu_ms:.2f} by CPU   {_load()}",
                    flush=True,
                )


async def measure_stage(empty_log: EmptyLog, requests: int, latency_s: float) -> Rate:
    """From the moment that the requests are written, all at once, until the last outcome is durable."""
    with tempfile.TemporaryDirectory() as directory, empty_log() as log, running_stub(latency_s) as url:
        await create_topics(log, TopicSettings(partitions=PARTITIONS))
        records = [requested(analysis(number)) for number in range(requests)]
        async with open_producer(log, max_batch_size=1024 * 1024) as producer, open_consumer(log) as consumer:
            with stage("insights", log, Path(directory), _environment(url)) as process:
                await until_ready(process)
                cpu_before_s, began = read_usage(process.pid).cpu_s, time.perf_counter()
                await fill(producer, records)
                await until_written(consumer, INSIGHTS, requests)
                seconds = time.perf_counter() - began
                cpu_s = read_usage(process.pid).cpu_s - cpu_before_s
    return Rate(per_s=requests / seconds, cpu_ms=1000 * cpu_s / requests)


def measure_bare(requests: int) -> Rate:
    """The worker that the stage calls, without the stage."""
    with running_stub(0.0) as url, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(_work_in_a_loop, requests, url).result()


def _work_in_a_loop(requests: int, url: str) -> Rate:
    return uvloop.run(_perform_all(requests, url))


async def _perform_all(requests: int, url: str) -> Rate:
    numbers = iter(range(requests))
    with tempfile.TemporaryDirectory() as directory:
        worker = InsightsWorker(Configuration(environment=_environment(url), flags={"data_dir": Path(directory)}))
        await worker.open()

        async def perform_next() -> None:
            for number in numbers:
                performed = await worker.perform(analysis(number), attempt=1)
                assert isinstance(performed.outcome, InsightExtracted)

        cpu_before_s, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*(perform_next() for _ in range(_CONCURRENCY)))
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before_s
        await worker.close()
    return Rate(per_s=requests / seconds, cpu_ms=1000 * cpu_s / requests)


def _environment(url: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-none",
        "OPENAI_BASE_URL": url,
        "POSTCALL_ANALYSIS_CONCURRENCY": str(_CONCURRENCY),
    }


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


if __name__ == "__main__":
    uvloop.run(main())
