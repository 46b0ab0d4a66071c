"""Fault 33: SQL that means harm. It is refused, or stopped; the warehouse is written on, and the service answers."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.query_service import QueryService, measured_queries, running_query_service
from tests.projections.conftest import fill_log
from tests.waiting import eventually

_DEADLINE_S = 2.0
_MEMORY_MB = 256
_CALLS_BEFORE, _CALLS_AFTER = 5, 25
#: In the service's environment and beside its warehouse; no answer may have it.
_CANARY = "canary-4f1d"
_ENVIRONMENT = {
    "POSTCALL_SQL_DEADLINE_S": str(_DEADLINE_S),
    "POSTCALL_SQL_MEMORY_MB": str(_MEMORY_MB),
    "POSTCALL_SQL_CONCURRENCY": "3",
    "POSTCALL_ANALYTICS_COPY_INTERVAL_S": "0",
    "LAYERCODE_API_KEY": _CANARY,
    "AWS_SECRET_ACCESS_KEY": _CANARY,
}

_NOT_A_READ = [
    "INSERT INTO sessions VALUES (1)",
    "WITH x AS (SELECT 1) INSERT INTO base.checkpoints SELECT * FROM x",
    "UPDATE sessions SET source = 'x'",
    "DELETE FROM sessions",
    "TRUNCATE sessions",
    "MERGE INTO sessions USING calls ON true WHEN MATCHED THEN DELETE",
    "DROP VIEW sessions",
    "ALTER VIEW sessions RENAME TO x",
    "COMMENT ON VIEW calls IS 'x'",
    "CREATE TABLE t AS FROM calls",
    "CREATE OR REPLACE VIEW calls AS SELECT 1",
    "CREATE MACRO count_all() AS (SELECT count(*) FROM calls)",
    "ATTACH '{folder}/other.duckdb'",
    "DETACH memory",
    "USE temp",
    "COPY calls TO '{folder}/calls.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "EXPORT DATABASE '{folder}/all'",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM 'http://127.0.0.1:1'",
    "LOAD '{folder}/x.duckdb_extension'",
    "SET memory_limit = '100GB'",
    "SET VARIABLE x = 1",
    "RESET enable_external_access",
    "PRAGMA threads = 64",
    "PRAGMA database_list",
    "/* SELECT */ PRAGMA enable_profiling",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN ANALYZE INSERT INTO sessions VALUES (1)",
    "EXPLAIN ANALYZE DELETE FROM sessions",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE base.checkpoints",
    "SELECT 1 /* ; */ ; -- \n ATTACH '{folder}/other.duckdb'",
    "PIVOT sessions ON source USING count(*)",
    "-- nothing",
    "",
]
_OUT_OF_REACH = [
    "IMPORT DATABASE '{folder}'",
    "FROM read_text('{folder}/canary')",
    "FROM read_blob('{folder}/canary')",
    "FROM read_csv('{folder}/canary')",
    "FROM sniff_csv('{folder}/canary')",
    "FROM read_json('{folder}/canary')",
    "FROM read_parquet('http://127.0.0.1:1/x.parquet')",
    "FROM parquet_metadata('{folder}/canary')",
    "FROM glob('{folder}/*')",
    "FROM '{folder}/canary'",
    "FROM read_text('/proc/self/environ')",
    "FROM read_text('/proc/' || getvariable('pid') || '/environ')",
    "SELECT getenv('LAYERCODE_API_KEY')",
    "FROM duckdb_secrets()",
    "FROM which_secret('s3://bucket', 's3')",
    "SELECT current_setting('s3_secret_access_key')",
    "FROM query('FROM sessions')",
    "FROM query_table('sessions')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM sessions'))",
    "FROM arrow_scan(1, 2, 3)",
    "FROM pandas_scan(1)",
    "SELECT nextval('x')",
    "FROM request",
]
#: What it may answer is next to nothing; what it takes meanwhile is limited.
_BOMBS = [
    "SELECT length(repeat('x', 2000000000))",
    "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, range(1000000) b",
    "SELECT string_agg(repeat('x', 1000)) FROM range(10000000)",
    "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t",
    "WITH RECURSIVE t AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM t) SELECT max(length(s)) FROM t",
    "SELECT count(*) FROM calls a, calls b, calls c, calls d, calls e, calls f, calls g, calls h, calls i, calls j",
    "SELECT list(range ORDER BY range) FROM range(1000000000)",
    "SELECT repeat('x', 100000000) FROM range(100)",
    "SELECT list_transform(range(9999), a -> list_transform(range(9999), b -> list_transform(range(9), c -> a * b)))",
    "SELECT list_reduce(range(1000000), (a, b) -> a || b::VARCHAR)",
    "SELECT list_resize([1], 1000000000)",
    "SELECT printf('%0999999999d', 1)",
    "SELECT regexp_replace(repeat('ab', 20000000), '(a|b)*?c', 'x', 'g')",
    "SELECT regexp_matches('a', '((a{0,100}){0,100}){0,100}')",
    "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
    "SELECT sleep_ms(1000000)",
    "SELECT " + ",".join(["1"] * 200_000),
    "SELECT " + " UNION ALL SELECT ".join(["1"] * 5_000),
    "SELECT 1 WHERE " + " OR ".join(f"{number} = {number + 1}" for number in range(20_000)),
    "SELECT " + "(" * 20_000,
    "SELECT " + "NOT " * 20_000 + "true",
    "SELECT " + "(SELECT " * 400 + "1" + ")" * 400,
    "SELECT 1" + "0" * 200_000,
    "SELECT '" + "x" * 900_000 + "' + 1",
]


@pytest.mark.timeout(300)
async def test_fault_33_sql_that_means_harm_is_refused_or_stopped(
    log_address: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "canary").write_text(_CANARY)
    await fill_log(log_address, range(_CALLS_BEFORE))
    async with running_query_service(log_address, tmp_path / "data", _ENVIRONMENT) as service:
        await _until_there_are(service, _CALLS_BEFORE)
        await _hold_refused(service, _NOT_A_READ, folder=folder, codes={"sql_refused"})
        await _hold_refused(service, _OUT_OF_REACH, folder=folder, codes={"sql_refused", "sql_failed"})
        assert [path.name for path in folder.iterdir()] == ["canary"]
        await _hold_bombs(service, log_address, record_property)


async def _hold_refused(service: QueryService, statements: list[str], *, folder: Path, codes: set[str]) -> None:
    for statement in statements:
        response = await service.ask(statement.format(folder=folder))
        while response.status_code == 504:
            # A busy machine may take longer than these queries are given, to say so little.
            response = await service.ask(statement.format(folder=folder))
        assert response.status_code == 400, (statement, response.text)
        assert response.json()["error"]["code"] in codes, (statement, response.text)
        assert _CANARY not in response.text


async def _hold_bombs(service: QueryService, log_address: str, record_property: Callable[[str, object], None]) -> None:
    is_written_on, slowest = asyncio.Event(), {"healthz": 0.0, "bomb": 0.0}

    async def ask_bombs(bombs: list[str]) -> None:
        # All of them, and on until the writer has shown that it does not mind.
        for number, bomb in enumerate(itertools.cycle(bombs)):
            if number >= len(bombs) and is_written_on.is_set():
                return
            asked_at_s = time.monotonic()
            response = await service.ask(bomb)
            slowest["bomb"] = max(slowest["bomb"], time.monotonic() - asked_at_s)
            assert response.status_code in {400, 504}, (bomb[:80], response.text[:80])

    async def ask_health() -> None:
        while True:
            asked_at_s = time.monotonic()
            assert (await service.client.get("/healthz")).status_code == 200
            slowest["healthz"] = max(slowest["healthz"], time.monotonic() - asked_at_s)
            await asyncio.sleep(0.05)

    async def write_on() -> None:
        await fill_log(log_address, range(_CALLS_BEFORE, _CALLS_AFTER))
        await _until_there_are(service, _CALLS_AFTER)
        is_written_on.set()

    async with measured_queries(service) as peak, asyncio.TaskGroup() as tasks:
        health = tasks.create_task(ask_health())
        # Two at once: the third lane is the one that is asked how the writer is.
        bombing = [tasks.create_task(ask_bombs(_BOMBS[half::2])) for half in (0, 1)]
        await asyncio.gather(*bombing, write_on())
        health.cancel()
    record_property("a bomb's answer at the latest, s after its deadline", round(slowest["bomb"] - _DEADLINE_S, 2))
    record_property("the slowest /healthz meanwhile, s", round(slowest["healthz"], 2))
    record_property("the most memory of a query's process, MB", round(peak.child_mb))
    # Two seconds are asked for; a busy machine gets more.
    assert slowest["bomb"] < _DEADLINE_S + 20
    if sys.platform == "linux":
        assert peak.children
        assert peak.child_mb < peak.nursery_mb + _MEMORY_MB
    await _until_there_are(service, _CALLS_AFTER)


async def _until_there_are(service: QueryService, sessions: int) -> None:
    async def is_so() -> bool:
        return await service.count_sessions() == sessions

    await eventually(is_so, timeout_s=90)
