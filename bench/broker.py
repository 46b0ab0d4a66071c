"""A log with aiokafka: records a second in and out, as a ratio to the disk under it.

The ceiling writes the same bytes, in batches of the same size, into a table of the same shape in the same group commits
(SQLite in WAL mode, one fsync each), without any protocol. Ratios of one run compare; those of two machines do not.

    python -m bench.broker [--log kafka] [--records 40000] [--bytes 1500]
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.logs import add_log_option, open_logs

_PARTITIONS = 4
_BATCH_BYTES = 256 * 1024


async def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_option(parser)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--bytes", type=int, default=1500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        ceiling = write_rows(Path(directory) / "ceiling.sqlite3", options.records, options.bytes)
    with open_logs(options.log) as empty_log, empty_log() as log:
        records_in = await produce(log.bootstrap_servers, options.records, options.bytes)
        records_out = await consume(log.bootstrap_servers, options.records)
    print(f"{'ceiling: rows, no protocol':28} {ceiling:10,.0f} records/s")
    print(
        f"{'in: produced and acknowledged':28} {records_in:10,.0f} records/s  {records_in / ceiling:.2f} of the ceiling"
    )
    print(f"{'out: read from the start':28} {records_out:10,.0f} records/s  {records_out / ceiling:.2f} of the ceiling")


def write_rows(path: Path, records: int, record_bytes: int) -> float:
    """Rows of one batch each, as many in a commit as there are partitions."""
    batch_records = _BATCH_BYTES // record_bytes
    content = bytes(batch_records * record_bytes)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
    connection.execute("CREATE TABLE batches (number INTEGER PRIMARY KEY, part INTEGER, base INTEGER, content BLOB)")
    connection.execute("CREATE INDEX batches_by_offset ON batches (part, base)")
    began = time.perf_counter()
    written = 0
    while written < records:
        connection.execute("BEGIN")
        for partition in range(_PARTITIONS):
            connection.execute(
                "INSERT INTO batches (part, base, content) VALUES (?, ?, ?)", (partition, written, content)
            )
            written += batch_records
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return written / seconds


async def produce(address: str, records: int, record_bytes: int) -> float:
    """Records a second, from the first send to the last acknowledgement."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic("bench", _PARTITIONS, 1)])
    await admin.close()
    value = bytes(record_bytes)
    async with AIOKafkaProducer(
        bootstrap_servers=address, enable_idempotence=True, max_batch_size=_BATCH_BYTES, linger_ms=5
    ) as producer:
        began = time.perf_counter()
        for future in [await producer.send("bench", value) for _ in range(records)]:
            await future
        return records / (time.perf_counter() - began)


async def consume(address: str, records: int) -> float:
    """Records a second, from the first fetch to the last record."""
    async with AIOKafkaConsumer("bench", bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        began = time.perf_counter()
        seen = 0
        while seen < records:
            seen += sum(len(batch) for batch in (await consumer.getmany(timeout_ms=1000)).values())
        return records / (time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(main())
