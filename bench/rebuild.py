"""How fast the warehouse comes back from the log, as a ratio to the same statements fed by `read_json` from files.

    python -m bench.rebuild [--log kafka] [--calls 4000] [--turns 18] [--profile]

One run measures both on the same records: first the files, then the log, which is a process of its own.
What the ratio shows is what the log costs: its protocol, and the reading of headers.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from functools import partial
from pathlib import Path

import duckdb
import orjson

from bench.logs import EmptyLog, add_log_option, open_logs
from postcall.kafka import append, open_producer
from postcall.records import Record
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from projections.batch import BATCH_SCHEMA, Batch, build_batch
from projections.following import MAX_BATCH_RECORDS
from projections.opening import open_serving
from projections.projector import Projector
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import number_records
from tests.waiting import eventually

_CALLS_AT_ONCE = 500


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--turns", type=int, default=18)
    parser.add_argument("--profile", action="store_true", help="print where this process's Python spends its time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, open_logs(arguments.log) as empty_log:
        records = number_records(make_records(range(arguments.calls), turns=arguments.turns))
        mean_bytes = sum(len(record.value) for record in records) / len(records)
        print(f"{arguments.calls} calls of {arguments.turns} turns: {len(records)} records of {mean_bytes:.0f} B")
        files_s = _measure_files(records, Path(directory) / "files")
        profile = cProfile.Profile() if arguments.profile else None
        log_s = asyncio.run(_measure_log(empty_log, arguments.calls, arguments.turns, Path(directory), profile))
    for name, seconds in (("read_json from files", files_s), ("from the log", log_s)):
        print(f"{name:22} {seconds:6.2f} s  {len(records) / seconds:9.0f} records/s")
    print(f"ratio {files_s / log_s:.2f} (to reach: 0.6)")
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(15)


def _measure_files(records: list[Record], directory: Path) -> float:
    directory.mkdir()
    batches = []
    for start in range(0, len(records), MAX_BATCH_RECORDS):
        batch = build_batch(records[start : start + MAX_BATCH_RECORDS])
        path = directory / f"{start}.ndjson"
        path.write_bytes(b"\n".join(orjson.dumps(row) for row in batch.table.to_pylist()))
        batches.append((path, batch.progress))
    reader = duckdb.connect(config={"threads": 2})
    columns = {name: "BIGINT" if name in {"kafka_offset", "bytes"} else "VARCHAR" for name in BATCH_SCHEMA.names}
    columns["kafka_partition"] = "INTEGER"
    warehouse = Warehouse(directory / "warehouse.duckdb")
    started_at = time.perf_counter()
    for path, progress in batches:
        rows = reader.execute("SELECT * FROM read_json(?, format = 'nd', columns = ?)", [str(path), columns])
        warehouse.apply(Batch(table=rows.to_arrow_table(), progress=progress))
    seconds = time.perf_counter() - started_at
    warehouse.close()
    return seconds


async def _measure_log(
    empty_log: EmptyLog, calls: int, turns: int, directory: Path, profile: cProfile.Profile | None
) -> float:
    with empty_log() as log:
        await create_topics(log, TopicSettings(partitions=4))
        async with open_producer(log, linger_ms=5) as producer:
            for start in range(0, calls, _CALLS_AT_ONCE):
                await append(producer, make_records(range(start, min(calls, start + _CALLS_AT_ONCE)), turns=turns))
        (directory / "data").mkdir()
        projector = Projector(
            log,
            partial(open_serving, directory / "data", reporting_timezone="UTC"),
            on_reading=lambda: None,
        )
        await projector.open()
        stopping = asyncio.Event()
        if profile:
            profile.enable()
        started_at = time.perf_counter()
        running = asyncio.create_task(projector.run(stopping))

        async def is_caught_up() -> bool:
            return (await projector.read_status()).unread == 0

        await eventually(is_caught_up, timeout_s=3600)
        # What is fetched is not yet applied: the projector ends once it is.
        stopping.set()
        await running
        seconds = time.perf_counter() - started_at
        if profile:
            profile.disable()
        await projector.close()
    return seconds


if __name__ == "__main__":
    main()
