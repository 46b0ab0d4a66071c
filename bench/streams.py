"""The stage `normalize` in records a second, as a ratio to a plain Faust agent that only forwards.

The plain agent sends the same record on, through Faust's own producer, and awaits the acknowledgements in batches of
100; it opens no record, and Faust commits some that are not acknowledged yet. Each has a log of its own, a
process beside this one, filled before it starts. Ratios of one run compare; those of two machines do not. CPU is that
of this process, which is the contender's but for the looking whether it is done: on a busy machine compare that.

    python -m bench.streams [--log kafka] [--records 5000] [--rounds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiokafka import TopicPartition

from bench.logs import EmptyLog, add_log_option, open_logs
from postcall.deliveries import RawDelivery
from postcall.kafka import append, open_consumer, open_producer
from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import EVENTS
from streams.faust_app import build_app
from streams.log_check import LogCheck
from streams.normalize import normalize
from streams.quiet_libraries import quieten_libraries
from streams.run import run_stage
from streams.transform import Derive, TransformStage

_PARTITIONS = 4
_BATCH_RECORDS = 100
_TURNS = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """Records a second, and what each costs the process."""

    per_s: float
    cpu_us: float


Contender = Callable[[LogConnection, Path, asyncio.Event], Awaitable[None]]


async def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--records", type=int, default=5000, help=f"in steps of {_BATCH_RECORDS}")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    quieten_libraries()
    logging.getLogger("streams").setLevel(logging.WARNING)
    derive = partial(normalize, sources=load_sources(Configuration()))
    contenders: dict[str, Contender] = {
        "plain agent, forwarding": forward_plainly,
        "stage, forwarding": partial(run_transform, _copy),
        "stage, normalizing": partial(run_transform, derive),
    }
    with open_logs(options.log) as empty_log:
        for _ in range(options.rounds):
            rates = {name: await measure(empty_log, each, options.records) for name, each in contenders.items()}
            print_rates(rates)


def print_rates(rates: Mapping[str, Rate]) -> None:
    """One line each."""
    ceiling = rates["plain agent, forwarding"]
    for name, rate in rates.items():
        ratio, cpu_ratio = rate.per_s / ceiling.per_s, ceiling.cpu_us / rate.cpu_us
        print(
            f"{name:26} {rate.per_s:8,.0f} records/s {rate.cpu_us:6,.0f} us CPU each"
            f"   {ratio:.2f} of the plain agent, {cpu_ratio:.2f} by CPU   load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


async def measure(empty_log: EmptyLog, contender: Contender, records: int) -> Rate:
    """From the first record to the last one that is durable in the topic it writes."""
    with tempfile.TemporaryDirectory() as directory, empty_log() as log:
        await create_topics(log, TopicSettings(partitions=_PARTITIONS))
        async with open_producer(log, max_batch_size=1024 * 1024) as producer:
            for begin in range(0, records, 1000):
                await append(producer, [_delivery(number) for number in range(begin, min(begin + 1000, records))])
        stopping = asyncio.Event()
        run = asyncio.ensure_future(contender(log, Path(directory), stopping))
        rate = await _measure_until(log, records)
        stopping.set()
        await run
    return rate


async def run_transform(derive: Derive, log: LogConnection, data_dir: Path, stopping: asyncio.Event) -> None:
    """Our stage."""
    stage = TransformStage("normalize", derive, log=log, directory=data_dir)
    await run_stage(stage, log=log, directory=data_dir, on_ready=lambda: None, stopping=stopping)


async def forward_plainly(log: LogConnection, data_dir: Path, stopping: asyncio.Event) -> None:
    """The plain agent, under the same settings."""

    async def body(stream: Any) -> None:
        target = app.topic(EVENTS.name, key_serializer="raw", value_serializer="raw")
        sent: list[Awaitable[Any]] = []
        async for event in stream.events():
            sent.append(await target.send(key=event.key, value=event.value, headers=event.message.headers))
            if len(sent) == _BATCH_RECORDS:
                await asyncio.gather(*sent)
                sent.clear()

    stage = TransformStage("normalize", _copy, log=log, directory=data_dir)
    await LogCheck(stage, log=log, hold=None).until_known()
    app = build_app(stage, body, log=log, directory=data_dir)
    app.conf.producer_max_batch_size = 1024 * 1024  # as ours, or the difference would be this alone
    await app.start()
    await stopping.wait()
    await app.stop()


async def _measure_until(log: LogConnection, records: int) -> Rate:
    """From the first record written, which is when it began, to the last."""
    places = [TopicPartition(EVENTS.name, number) for number in range(_PARTITIONS)]
    began, cpu_before_s, before = 0.0, 0.0, 0
    async with open_consumer(log) as consumer:
        while True:
            count = sum((await consumer.end_offsets(places)).values())
            if count and not began:
                began, cpu_before_s, before = time.perf_counter(), time.process_time(), count
            if count >= records:
                seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before_s
                done = records - before
                return Rate(per_s=done / seconds, cpu_us=1_000_000 * cpu_s / done)
            await asyncio.sleep(0.02)


def _copy(record: Record) -> list[NewRecord]:
    return [NewRecord(topic=EVENTS.name, key=record.key, value=record.value, headers=record.headers)]


def _delivery(number: int) -> NewRecord:
    """A call's end with its transcript, 3 kB."""
    body = {
        "type": "session.end",
        "session_id": f"session-{number:08}",
        "conversation_id": f"conversation-{number:08}",
        "agent_id": "agent-1",
        "started_at": "2026-02-03T09:14:02.117Z",
        "ended_at": "2026-02-03T09:16:20.940Z",
        "duration": 138823,
        "recording_status": "enabled",
        "transcript": [
            {
                "role": "user" if turn % 2 else "assistant",
                "text": f"This is what was said in turn {turn} of a call about a boiler that leaks, at some length.",
                "timestamp": 1770110042117 + 7000 * turn,
            }
            for turn in range(_TURNS)
        ],
    }
    delivery = RawDelivery(
        receipt_id=f"receipt-{number:08}",
        source="layercode",
        body=orjson.dumps(body),
        received_at=datetime.now(UTC),
        signature="verified",
        session_id=f"session-{number:08}",
        event_type="session.end",
    )
    return delivery.to_record()


if __name__ == "__main__":
    uvloop.run(main())
