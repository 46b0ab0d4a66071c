"""What a call takes up: bytes in every topic, in the embedded log's file, in the warehouse and in recordings.

    python -m bench.log_size [--calls 200]

The simulated calls of the demo go through the whole pipeline. What its log then holds is counted, and written to an
Apache Kafka record by record, as calls come in that are minutes apart: each record is a batch of its own there, which
is the most that its header can cost. `turns` says how long these calls were; a transcript grows with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiokafka import TopicPartition
from kafka import KafkaAdminClient

from bench.logs import open_logs, running_broker
from postcall.kafka import open_admin, open_consumer, open_producer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import ALL_TOPICS

_AT_ONCE = 50


@dataclass(kw_only=True)
class Size:
    """What one topic holds."""

    records: int = 0
    content_bytes: int = 0
    kafka_bytes: int = 0


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        counts = run_demo(data_dir, calls)
        with running_broker(data_dir) as source, open_logs("kafka") as empty_log, empty_log() as kafka:
            sizes, bytes_per_turn = asyncio.run(copy_and_count(source, kafka))
            for name, size_bytes in kafka_bytes(kafka).items():
                sizes[name].kafka_bytes = size_bytes
        others = {name: bytes_of(data_dir, pattern) for name, pattern in _OTHERS.items()}
    print(f"{calls} calls of {counts['transcripts'] / calls:.1f} turns and {counts['webhooks'] / calls:.1f} webhooks")
    print(f"{'a call takes':32}{'records':>9}{'content':>11}{'Apache Kafka':>15}")
    for topic in ALL_TOPICS:
        of_topic = sizes[topic.name]
        facts = (of_topic.records / calls, of_topic.content_bytes / calls, of_topic.kafka_bytes / calls)
        print(_row(topic.name, *facts))
    total = Size(
        records=sum(size.records for size in sizes.values()),
        content_bytes=sum(size.content_bytes for size in sizes.values()),
        kafka_bytes=sum(size.kafka_bytes for size in sizes.values()),
    )
    print(_row("all topics", total.records / calls, total.content_bytes / calls, total.kafka_bytes / calls))
    print(f"{'a turn more adds':32}{'':>9}{bytes_per_turn:>9,.0f} B")
    for name, size_bytes in others.items():
        print(f"{name:32}{'':>9}{size_bytes / calls:>9,.0f} B")


#: What else lies in a data directory.
_OTHERS = {
    "embedded log, its files": "log/*",
    "warehouse": "warehouse-*.duckdb",
    "work indexes": "streams/**/*",
    "recordings": "recordings/**/*",
}


def run_demo(data_dir: Path, calls: int) -> dict[str, int]:
    """Run the demo into a directory; returns what it counts."""
    command = [sys.executable, "-m", "postcall", "demo", "--once", "--json", "--calls", str(calls)]
    done = subprocess.run([*command, "--data-dir", str(data_dir)], check=True, capture_output=True)
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


async def copy_and_count(source: LogConnection, kafka: LogConnection) -> tuple[dict[str, Size], float]:
    """Write each record to the Kafka, as a batch of its own; returns the sizes, and what a turn more adds to them."""
    await create_topics(kafka, TopicSettings())
    sizes: defaultdict[str, Size] = defaultdict(Size)
    bytes_by_session: defaultdict[bytes | None, int] = defaultdict(int)
    turns_by_session: dict[bytes | None, int] = {}
    # The next record of a partition waits for the one before; those of several go side by side.
    async with open_producer(kafka, max_batch_size=1) as producer:
        sent = []
        async for record in read_all(source):
            size = sizes[record.topic]
            size.records += 1
            size.content_bytes += content_bytes(record)
            bytes_by_session[record.key] += content_bytes(record)
            if record.header("ce_type") == "SessionEnded":
                turns_by_session[record.key] = len(json.loads(record.value)["transcript"])
            options = {"key": record.key, "partition": record.partition, "headers": list(record.headers)}
            sent.append(await producer.send(record.topic, record.value, **options))
            if len(sent) == _AT_ONCE:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)
    ended = sorted(turns_by_session.items())
    turns, lengths = [count for _, count in ended], [bytes_by_session[session] for session, _ in ended]
    return sizes, statistics.linear_regression(turns, lengths).slope


async def read_all(log: LogConnection) -> AsyncIterator[Record]:
    """Every record of every topic."""
    async with open_admin(log) as admin, open_consumer(log) as consumer:
        places = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics([topic.name for topic in ALL_TOPICS])
            for partition in topic["partitions"]
        ]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for messages in (await consumer.getmany(timeout_ms=1000)).values():
                for message in messages:
                    yield to_record(message)


def content_bytes(record: Record) -> int:
    """Key, value and headers."""
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value) + headers


def kafka_bytes(kafka: LogConnection) -> dict[str, int]:
    """What each topic takes on the node's disk."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        answers = admin.describe_log_dirs()
    finally:
        admin.close()
    sizes: defaultdict[str, int] = defaultdict(int)
    for answer in answers:
        for folder in answer["log_dirs"]:
            for topic in folder["topics"]:
                sizes[topic["name"]] += sum(partition["partition_size"] for partition in topic["partitions"])
    return {topic.name: sizes[topic.name] for topic in ALL_TOPICS}


def bytes_of(data_dir: Path, pattern: str) -> int:
    """The size of files."""
    return sum(path.stat().st_size for path in data_dir.glob(pattern) if path.is_file())


def _row(name: str, records: float, content: float, kafka: float) -> str:
    return f"{name:32}{records:>9.1f}{content:>9,.0f} B{kafka:>13,.0f} B"


if __name__ == "__main__":
    main()
