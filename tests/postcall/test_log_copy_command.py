"""`postcall log copy` as a user runs it: interrupted anywhere and run again, with a data directory, and its output."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from postcall.instance import Instance, write_instance
from postcall.supervisor import postcall_command
from tests.logs.embedded import embedded_log
from tests.postcall.log_contents import Written, count_records, fill, make_topic, read_log
from tests.waiting import eventually

WEBHOOKS = "postcall.webhooks"
PARTITIONS = 3
RECORDS = 3 * 900


@pytest.fixture
def source(tmp_path: Path) -> Iterator[str]:
    """An embedded log to copy."""
    with embedded_log(tmp_path / "source") as address:
        yield address


async def fill_source(address: str) -> None:
    """Enough records for many batches."""
    await make_topic(address, WEBHOOKS, partitions=PARTITIONS)
    for partition in range(PARTITIONS):
        records = [Written(value=b"%d " % number * 2000) for number in range(RECORDS // PARTITIONS)]
        await fill(address, TopicPartition(WEBHOOKS, partition), records)


async def start_copy(*options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *postcall_command("log", "copy", *options), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr."""
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def copy_in_json(*options: str) -> dict[str, Any]:
    code, out, err = await finish(await start_copy("--json", *options))
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


async def interrupt(process: asyncio.subprocess.Process, target: str, number: signal.Signals, *, after: int) -> None:
    """Send a signal once the target holds so many records, unless the copy has ended before."""

    async def holds_enough() -> bool:
        return process.returncode is not None or await count_records(target, WEBHOOKS, partitions=PARTITIONS) >= after

    await eventually(holds_enough)
    if process.returncode is None:
        process.send_signal(number)


@pytest.mark.both_logs
async def test_a_copy_that_is_killed_anywhere_goes_on(source: str, log_address: str) -> None:
    seed = random.randrange(1_000_000)  # noqa: S311 - moments, not secrets
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    moments = random.Random(seed)  # noqa: S311 - as above
    await fill_source(source)
    await make_topic(log_address, WEBHOOKS, partitions=PARTITIONS)
    copied = 0
    for _ in range(3):
        process = await start_copy("--from", source, "--to", log_address)
        await interrupt(process, log_address, signal.SIGKILL, after=moments.randint(copied, RECORDS))
        await finish(process)
        copied = await count_records(log_address, WEBHOOKS, partitions=PARTITIONS)
    report = await copy_in_json("--from", source, "--to", log_address)
    (topic,) = report["topics"]
    assert (topic["records"], topic["copied"]) == (RECORDS, RECORDS - copied)
    assert await read_log(log_address) == await read_log(source)


async def test_ctrl_c_stops_in_one_line(source: str, log_address: str) -> None:
    await fill_source(source)
    await make_topic(log_address, WEBHOOKS, partitions=PARTITIONS)
    process = await start_copy("--from", source, "--to", log_address)
    await interrupt(process, log_address, signal.SIGINT, after=1)
    code, out, err = await finish(process)
    assert (code, out, err) == (130, "", "Stopped; what was copied stays. Run it again to go on.\n")
    assert (await copy_in_json("--from", source, "--to", log_address))["verified"]


async def test_the_log_of_a_directory_is_copied_without_its_pipeline(tmp_path: Path, log_address: str) -> None:
    with embedded_log(tmp_path / "data") as address:
        await fill_source(address)
    code, out, err = await finish(await start_copy("--data-dir", str(tmp_path / "data"), "--to", log_address))
    assert (code, err) == (0, "")
    assert f"all {RECORDS} were read back from {log_address} and verified" in out
    assert f"POSTCALL_KAFKA={log_address}" in out
    assert await count_records(log_address, WEBHOOKS, partitions=PARTITIONS) == RECORDS
    assert not (tmp_path / "data" / "postcall.json").exists()


async def test_a_directory_without_a_log_is_told_in_one_line(tmp_path: Path, log_address: str) -> None:
    code, out, err = await finish(await start_copy("--data-dir", str(tmp_path), "--to", log_address))
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert f"There is no log in {tmp_path} to copy" in line


async def test_a_pipeline_that_runs_on_the_target_already_is_told_in_one_line(tmp_path: Path, log_address: str) -> None:
    write_instance(tmp_path, Instance(ingest="http://127.0.0.1:1", private="http://127.0.0.1:1", log=log_address))
    code, out, err = await finish(await start_copy("--data-dir", str(tmp_path), "--to", log_address))
    assert (code, out) == (1, "")
    assert err == f"postcall: The pipeline on {tmp_path} runs on {log_address} already.\n"


async def test_a_target_that_does_not_answer_is_told_in_one_line(source: str) -> None:
    await make_topic(source, WEBHOOKS)
    code, out, err = await finish(await start_copy("--from", source, "--to", "127.0.0.1:1"))
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert "127.0.0.1:1" in line
