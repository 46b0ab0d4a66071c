"""What the copy costs: its time, size and memory, and what the writer's commits notice of it.

    python -m bench.copying [--calls 100000] [--turns 18]

The calls are a thousand, multiplied within the warehouse. Batches of ten records are committed all the while, first
alone, then beside the copy.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postcall.records import Record
from projections.batch import build_batch
from projections.copying.copier import Copier
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import apply_records, number_records

_SEED_CALLS = 1_000
_BATCH_RECORDS = 10
_ALONE_S = 5.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=18)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        warehouse = _fill(Path(directory), arguments.calls, arguments.turns)
        records = number_records(make_records(range(_SEED_CALLS, _SEED_CALLS + 4_000), turns=arguments.turns))
        with _committing(warehouse, records) as alone:
            time.sleep(_ALONE_S)
        with _memory() as memory, _committing(warehouse, records[len(records) // 2 :]) as beside:
            copier = Copier(lambda: warehouse, Path(directory), interval_s=0, reporting_timezone="UTC")
            cpu_before_s = time.process_time()
            copy = asyncio.run(copier.copy_now())
            cpu_s = time.process_time() - cpu_before_s
        warehouse.close()
    print(f"{arguments.calls} calls of {arguments.turns} turns: {copy.bytes / 1e6:.0f} MB in {copy.seconds:.1f} s")
    print(f"CPU of the process meanwhile, with the commits: {cpu_s:.1f} s")
    print(f"memory: {memory[0] / 1e6:.0f} MB before, {max(memory) / 1e6:.0f} MB at most")
    for name, seconds in (("alone", alone), ("beside the copy", beside)):
        print(f"commits {name:16} {_tell(seconds)}")


def _fill(directory: Path, calls: int, turns: int) -> Warehouse:
    path = directory / "warehouse-1.duckdb"
    warehouse = Warehouse(path)
    apply_records(warehouse, number_records(make_records(range(_SEED_CALLS), turns=turns)), batch_size=5_000)
    with warehouse.snapshot() as reader:
        columns = reader.execute(
            "SELECT schema_name, table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()"
            " WHERE schema_name NOT IN ('base', 'main') AND NOT internal AND database_name = current_database()"
            " GROUP BY ALL HAVING list_contains(list(column_name), 'session_id')"
        ).fetchall()
    for schema, table, names in columns:
        rows = ", ".join(f"{name} || '-' || copy AS {name}" if name == "session_id" else name for name in names)
        kept, copies = f"{schema}.{table}", calls // _SEED_CALLS - 1
        with warehouse.transaction() as writer:
            writer.execute(f"INSERT INTO {kept} SELECT {rows} FROM {kept}, range({copies}) r(copy)")  # noqa: S608 - names of the catalog
    warehouse.close()
    return Warehouse(path)


@contextmanager
def _committing(warehouse: Warehouse, records: list[Record]) -> Iterator[list[tuple[float, float]]]:
    """Commit batch after batch while the block runs; the seconds of each, and those of the thread's CPU."""
    seconds: list[tuple[float, float]] = []
    is_over = threading.Event()

    def commit() -> None:
        for start in range(0, len(records), _BATCH_RECORDS):
            if is_over.is_set():
                return
            batch = build_batch(records[start : start + _BATCH_RECORDS])
            started_at, cpu_before_s = time.perf_counter(), time.thread_time()
            warehouse.apply(batch)
            seconds.append((time.perf_counter() - started_at, time.thread_time() - cpu_before_s))
            # As the projector does after a small batch.
            time.sleep(seconds[-1][1])

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        yield seconds
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _memory() -> Iterator[list[int]]:
    """The process's resident bytes, looked at again and again while the block runs."""
    seen = [_resident_bytes()]
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.05):
            seen.append(_resident_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


def _tell(seconds: list[tuple[float, float]]) -> str:
    parts = []
    for name, ordered in zip(("", "CPU "), map(sorted, zip(*seconds, strict=True)), strict=True):
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        parts.append(f"{name}p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {ordered[-1] * 1000:.1f} ms")
    return f"{len(seconds):6} of them: {'; '.join(parts)}"


if __name__ == "__main__":
    main()
