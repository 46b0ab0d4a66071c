"""What must hold once all is healed and drained, whatever happened in between.

Every request that was answered 2xx is in the log, a refused one is not, and nothing is there that nobody sent. The
tables have each session once, with all that was told of it, and come back identical from the log alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from hashlib import sha256

import httpx
from aiokafka import TopicPartition

from postcall.kafka import open_admin, open_consumer, to_record
from postcall.log_connection import LogConnection
from postcall.records import Record
from postcall.simulator.schedule import Schedule
from postcall.topics import WEBHOOKS, Topic
from tests.faults.effects import Outcomes
from tests.faults.ledger import Ledger, Request
from tests.faults.pipelines import Pipeline
from tests.waiting import eventually

#: Of each table, how many rows a session has; where no session tells the rows apart, they are numbered.
Rows = dict[str, dict[str, int]]

_REBUILD_LIMIT_S = 120
TABLES = ("sessions", "transcripts", "recordings", "insights", "dead_letters", "webhooks")


async def hold_oracle(pipeline: Pipeline, ledger: Ledger, *, also_allowed: Ledger | None = None) -> None:
    """Hold everything, once the pipeline has read all that there is.

    :param also_allowed: of what was accepted in it, too, something may be found: it was under way in another log.
    """
    await pipeline.until_drained()
    stored = await read_topic(pipeline.log, WEBHOOKS.name)
    hold_log(stored, ledger)
    await hold_tables(pipeline, ledger, webhooks=len(stored), also_allowed=also_allowed)
    await hold_rebuild(pipeline)


def hold_log(stored: list[Record], ledger: Ledger) -> None:
    """Hold `postcall.webhooks` against the ledger."""
    found = _traces(stored)
    lost = find_lost(stored, ledger)
    assert not lost, f"{len(lost)} of {len(ledger.accepted)} accepted deliveries are not in the log: {lost[:3]}"
    refused = {request.receipt_id for request in ledger.refused}
    assert not refused & {receipt for receipt, _, _ in found}, "a refused delivery is in the log"
    answered = {_trace(request.receipt_id, request) for request in ledger.requests if request.status}
    unanswered = {_trace(None, request) for request in ledger.requests if not request.status}
    strangers = [trace for trace in found - answered if (None, *trace[1:]) not in unanswered]
    assert not strangers, f"{len(strangers)} records were never sent: {strangers[:3]}"


def find_lost(stored: list[Record], ledger: Ledger) -> list[Request]:
    """What was accepted, and is not in `postcall.webhooks`."""
    found = _traces(stored)
    return [request for request in ledger.accepted if _trace(request.receipt_id, request) not in found]


async def hold_tables(pipeline: Pipeline, ledger: Ledger, *, webhooks: int, also_allowed: Ledger | None = None) -> None:
    """Hold the rows against what was accepted; waits for work that is under way."""
    schedule = pipeline.vendor.schedule
    told = {**_tell_tables(schedule, ledger), "webhooks": _numbered(webhooks)}
    allowed = {**told, **_tell_tables(schedule, also_allowed)} if also_allowed else told

    async def find_differences() -> list[str]:
        return list(_differences(await _find_tables(pipeline), told, allowed))

    async def is_told() -> bool:
        return not await find_differences()

    with contextlib.suppress(AssertionError):
        await eventually(is_told)
    differences = await find_differences()
    assert not differences, "\n".join(differences)


async def hold_rebuild(pipeline: Pipeline) -> None:
    """Hold that the tables come back identical from the log alone."""
    before = await hash_tables(pipeline)
    async with httpx.AsyncClient(base_url=pipeline.private, timeout=_REBUILD_LIMIT_S, trust_env=False) as client:
        told = (await client.post("/v1/replays/projections", json={})).text.splitlines()
    assert json.loads(told[-1]).get("is_done"), told[-1]
    await pipeline.until_drained(timeout_s=_REBUILD_LIMIT_S)
    assert await hash_tables(pipeline) == before


async def hash_tables(pipeline: Pipeline) -> dict[str, str]:
    """One hash of all rows of each table."""
    return {table: await _hash(pipeline, table) for table in TABLES}


async def read_topic(log: LogConnection, topic: str) -> list[Record]:
    """All records that a topic has, in the order of each partition."""
    async with open_admin(log) as admin, open_consumer(log) as consumer:
        (described,) = await admin.describe_topics([topic])
        partitions = sorted(TopicPartition(topic, place["partition"]) for place in described["partitions"])
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        consumer.assign([place for place in partitions if ends[place] > begins[place]])
        for place in consumer.assignment():
            consumer.seek(place, begins[place])
        records: list[Record] = []
        while len(records) < sum(ends.values()) - sum(begins.values()):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records.extend(to_record(message) for message in batch)
        return records


async def read_outcomes(log: LogConnection, topic: Topic) -> Outcomes:
    """When each outcome of a topic was sent to the log."""
    outcomes: dict[str, list[float]] = {}
    for record in await read_topic(log, topic.name):
        # The log cuts off what is less than a millisecond.
        outcomes.setdefault((record.key or b"").decode(), []).append(record.timestamp_ms / 1000 + 0.001)
    return outcomes


def _traces(stored: list[Record]) -> set[tuple[str | None, bytes | None, str]]:
    return {(record.header("receipt-id"), record.key, sha256(record.value).hexdigest()) for record in stored}


def _trace(receipt_id: str | None, request: Request) -> tuple[str | None, bytes | None, str]:
    delivery = request.delivery
    return receipt_id, None if delivery.is_broken else delivery.session_id.encode(), request.body_sha256


def _tell_tables(schedule: Schedule, ledger: Ledger) -> Rows:
    """What must be in the tables, from what was accepted."""
    accepted = [request.delivery for request in ledger.accepted]
    readable = {(delivery.session_id, delivery.kind) for delivery in accepted if not delivery.is_broken}
    ended = {session_id for session_id, kind in readable if kind == "session.end"}
    updated = {session_id for session_id, kind in readable if kind == "session.update"}
    sessions = {session.session_id: session for session in schedule.sessions}
    return {
        "sessions": dict.fromkeys({session_id for session_id, _ in readable}, 1),
        "transcripts": {session_id: len(sessions[session_id].call.turns) for session_id in ended},
        "insights": dict.fromkeys(ended, 1),
        "recordings": {id_: 1 for id_ in updated if sessions[id_].recording == "completed"},
        "dead letters": _numbered(len({delivery.body for delivery in accepted if delivery.is_broken})),
    }


async def _find_tables(pipeline: Pipeline) -> Rows:
    return {
        "webhooks": await _count(pipeline, "webhooks"),
        "sessions": await _count_by_session(pipeline, "sessions"),
        "transcripts": await _count_by_session(pipeline, "transcripts"),
        "insights": await _count_by_session(pipeline, "insights"),
        "recordings": await _count_by_session(pipeline, "recordings WHERE state = 'stored'"),
        "dead letters": await _count(pipeline, "dead_letters"),
    }


def _differences(found: Rows, told: Rows, allowed: Rows) -> Iterator[str]:
    """What is missing of what was told, and what is more than is allowed."""
    for table, rows in told.items():
        if missing := sorted(rows.items() - found[table].items()):
            yield f"{table}: {len(missing)} of {len(rows)} are not as they were told: {missing[:3]}"
        if strangers := sorted(found[table].items() - allowed[table].items()):
            yield f"{table}: {len(strangers)} were never told: {strangers[:3]}"


def _numbered(count: int) -> dict[str, int]:
    return dict.fromkeys((f"number {number}" for number in range(count)), 1)


async def _count(pipeline: Pipeline, table: str) -> dict[str, int]:
    (row,) = await pipeline.api.rows(f"SELECT count(*) AS n FROM {table}")  # noqa: S608 - our own table
    return _numbered(row["n"])


async def _count_by_session(pipeline: Pipeline, table: str) -> dict[str, int]:
    rows = await pipeline.api.rows(f"SELECT session_id, count(*) AS n FROM {table} GROUP BY ALL")  # noqa: S608 - as above
    return {row["session_id"]: row["n"] for row in rows}


async def _hash(pipeline: Pipeline, table: str) -> str:
    # In the database: there are more rows than one answer may have.
    (row,) = await pipeline.api.rows(
        f"SELECT count(*) || ' rows, ' || coalesce(sum(hash(each)), 0) AS hash FROM {table} AS each"  # noqa: S608 - as above
    )
    return str(row["hash"])
