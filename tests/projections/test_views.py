"""What the views count: numbers that a person can check by hand, in the reporting time zone, whatever came first."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from postcall.events import SessionEnded, SessionStarted, Turn, input_hash
from postcall.messages import Message
from postcall.outcomes import AnalysisFailed, AnalysisSkipped, InsightExtracted
from postcall.requests import AnalyzeSession, Trigger
from projections.definitions import PROJECTIONS, VIEWS
from projections.sql_files import load_sql
from projections.warehouse import Warehouse
from tests.projections.logbook import Said, apply_records, number_records

#: Half past eight in the evening: in Tokyo it is the next day already.
EVENING = datetime(2026, 2, 3, 20, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def end_session(
    session_id: str,
    *,
    at: datetime,
    minutes: int = 1,
    latency_ms: int = 500,
    turn_latencies: Iterable[int] = (),
    **more: Any,
) -> SessionEnded:
    """A call of so many minutes, with a turn for each of these latencies."""
    turns = tuple(Turn(role="assistant", text=f"{session_id} {ms}", latency_ms=ms) for ms in turn_latencies)
    return SessionEnded(
        session_id=session_id,
        started_at=at,
        ended_at=at + minutes * MINUTE,
        duration_ms=60_000 * minutes,
        latency_ms=latency_ms,
        transcript=turns,
        input_hash=input_hash(turns),
        **more,
    )


def shared(ended: SessionEnded, *, revision: int = 1, trigger: Trigger = "live") -> dict[str, Any]:
    """What every outcome of an analysis of this session says."""
    key = {"session_id": ended.session_id, "analyzer": "summary", "revision": revision, "input_hash": ended.input_hash}
    request = AnalyzeSession(input="", **key)
    produced_at = ended.ended_at
    return key | {"request_id": request.request_id, "attempt": 1, "trigger": trigger, "produced_at": produced_at}


def summarize(ended: SessionEnded, sentiment: str, *, follow_ups: Iterable[str] = (), **more: Any) -> InsightExtracted:
    """The summary of a session."""
    result = {
        "summary": "One. Two.",
        "intent": "other",
        "follow_ups": list(follow_ups),
        "customer_name": None,
        "sentiment": sentiment,
    }
    usage = {"model": "a-model", "tokens_in": 100, "tokens_out": 10, "cost_usd": Decimal("0.5"), "model_latency_ms": 7}
    return InsightExtracted(**(shared(ended) | usage | more), result=result)


def make_messages() -> list[Message]:
    """Two conversations of one agent, one of them handed over, a session alone, and one of which little is known."""
    one = end_session("one", at=EVENING, minutes=1, turn_latencies=[100, 200], agent_id="ann", conversation_id="c1")
    two = end_session("two", at=EVENING + 5 * MINUTE, minutes=3, agent_id="ann", conversation_id="c1")
    three = end_session(
        "three", at=EVENING + 300 * MINUTE, minutes=2, latency_ms=900, turn_latencies=[300], agent_id="ann"
    )
    four = end_session("four", at=EVENING + 9 * MINUTE, agent_id="bob", conversation_id="c1", turn_latencies=[1])
    return [
        one,
        two,
        three,
        four,
        SessionStarted(session_id="five", conversation_id="c5"),
        summarize(one, "frustrated", follow_ups=["call back"]),
        summarize(three, "happy", cost_usd=None),
        summarize(four, "neutral", model="local", cost_usd=None, tokens_in=None, tokens_out=None),
        AnalysisSkipped(**shared(two), reason="no transcript"),
        AnalysisFailed(
            **shared(four, revision=2, trigger="replay"), model="a-model", cost_usd=Decimal("0.25"), reason="r"
        ),
    ]


def open_warehouse(*, reporting_timezone: str = "UTC", seed: int = 0) -> Warehouse:
    """A warehouse of these messages, in some order."""
    warehouse = Warehouse(":memory:", reporting_timezone=reporting_timezone)
    said = [Said(message, EVENING + timedelta(days=1)) for message in make_messages()]
    random.Random(seed).shuffle(said)  # noqa: S311 - an order, no secret
    apply_records(warehouse, number_records([each.to_record() for each in said]), batch_size=3)
    return warehouse


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    """That warehouse, in UTC."""
    warehouse = open_warehouse()
    yield warehouse
    warehouse.close()


def ask(warehouse: Warehouse, sql: str) -> list[dict[str, Any]]:
    """Rows as objects."""
    with warehouse.snapshot() as reader:
        result = reader.execute(sql)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def ask_one(warehouse: Warehouse, sql: str) -> dict[str, Any]:
    """The one row of an answer."""
    (row,) = ask(warehouse, sql)
    return row


@pytest.mark.parametrize("seed", range(3))
def test_a_session_has_its_place_in_its_conversation_whatever_came_first(seed: int) -> None:
    warehouse = open_warehouse(seed=seed)
    places = "SELECT session_id, session_number, session_count, is_last FROM conversation_sessions ORDER BY ALL"
    rows = ask(warehouse, places)
    warehouse.close()
    assert [tuple(row.values()) for row in rows] == [
        ("five", 1, 1, True),
        ("four", 3, 3, True),
        ("one", 1, 3, False),
        ("three", 1, 1, True),
        ("two", 2, 3, False),
    ]


def test_a_conversation_is_its_sessions_together(warehouse: Warehouse) -> None:
    assert ask_one(warehouse, "FROM conversations WHERE conversation_id = 'c1'") == {
        "conversation_id": "c1",
        "session_count": 3,
        "started_at": EVENING,
        "ended_at": EVENING + 10 * MINUTE,
        "duration_ms": 300_000,
        "turn_count": 3,
        "first_agent_id": "ann",
        "from_number": None,
        "session_ids": ["one", "two", "four"],
    }
    assert {row["conversation_id"] for row in ask(warehouse, "FROM conversations")} == {"c1", "three", "c5"}


def test_an_agents_metrics_are_those_of_its_own_sessions(warehouse: Warehouse) -> None:
    assert ask_one(warehouse, "FROM agent_metrics WHERE agent_id = 'ann'") == {
        "agent_id": "ann",
        "sessions": 3,
        "conversations": 2,
        "ended_sessions": 3,
        "first_session_at": EVENING,
        "last_session_at": EVENING + 300 * MINUTE,
        "duration_ms": 360_000,
        "average_duration_ms": 120_000,
        "duration_p50_ms": 120_000,
        "duration_p95_ms": 180_000,
        "session_latency_p50_ms": 500,
        "session_latency_p95_ms": 900,
        "turns": 3,
        "summaries": 2,
        "happy_ratio": 0.5,
        "neutral_ratio": 0.0,
        "frustrated_ratio": 0.5,
        "follow_up_ratio": 0.5,
        # The other one went on, and ended with another agent.
        "single_session_ratio": 0.5,
        "resolved_ratio": 1.0,
        "turn_latency_p50_ms": 200,
        "turn_latency_p95_ms": 300,
    }


def test_sessions_without_an_agent_are_counted_too(warehouse: Warehouse) -> None:
    row = ask_one(warehouse, "FROM agent_metrics WHERE agent_id IS NULL")
    assert (row["sessions"], row["ended_sessions"], row["turns"]) == (1, 0, 0)
    assert row["happy_ratio"] is row["resolved_ratio"] is row["turn_latency_p50_ms"] is None
    total = ask_one(
        warehouse, "SELECT sum(sessions) AS agents, (SELECT count(*) FROM sessions) AS all FROM agent_metrics"
    )
    assert total["agents"] == total["all"] == 5


def test_costs_are_told_by_what_they_were_for(warehouse: Warehouse) -> None:
    rows = {
        (row["model"], row["trigger"], row["revision"]): row
        for row in ask(warehouse, "FROM costs WHERE day < '2026-02-04'")
    }
    counts = {
        key: (row["analyses"], row["done"], row["failed"], row["skipped"], row["unpriced"], row["cost_usd"])
        for key, row in rows.items()
    }
    assert counts == {
        ("a-model", "live", 1): (1, 1, 0, 0, 0, Decimal("0.5")),
        ("local", "live", 1): (1, 1, 0, 0, 0, None),
        (None, "live", 1): (1, 0, 0, 1, 0, None),
        ("a-model", "replay", 2): (1, 0, 1, 0, 0, Decimal("0.25")),
    }
    assert ask_one(warehouse, "SELECT unpriced, cost_usd FROM costs WHERE day = '2026-02-04'") == {
        "unpriced": 1,
        "cost_usd": None,
    }


@pytest.mark.parametrize(
    ("timezone", "sessions", "costs"),
    [
        ("UTC", {"2026-02-03": 3, "2026-02-04": 2}, {"2026-02-03": 4, "2026-02-04": 1}),
        ("Asia/Tokyo", {"2026-02-04": 4, "2026-02-05": 1}, {"2026-02-04": 5}),
    ],
)
def test_days_are_cut_in_the_reporting_time_zone(
    timezone: str, sessions: dict[str, int], costs: dict[str, int]
) -> None:
    warehouse = open_warehouse(reporting_timezone=timezone)
    counted = {row["day"]: row["sessions"] for row in ask(warehouse, "SELECT day, sessions FROM daily_metrics")}
    spent = {row["day"]: row["n"] for row in ask(warehouse, "SELECT day, sum(analyses) AS n FROM costs GROUP BY day")}
    warehouse.close()
    assert counted == {date.fromisoformat(day): count for day, count in sessions.items()}
    assert spent == {date.fromisoformat(day): count for day, count in costs.items()}


def test_a_day_counts_the_conversations_that_its_sessions_belong_to(warehouse: Warehouse) -> None:
    row = ask_one(warehouse, "FROM daily_metrics WHERE day = '2026-02-03'")
    assert (row["sessions"], row["conversations"], row["frustrated_sessions"], row["neutral_sessions"]) == (3, 1, 1, 1)


def test_views_of_nothing_have_no_rows() -> None:
    warehouse = Warehouse(":memory:")
    rows = {name: ask(warehouse, f"FROM {name}") for name in VIEWS}
    warehouse.close()
    assert rows == {name: [] for name in VIEWS}


def test_nothing_that_is_projected_depends_on_the_moment_or_on_chance() -> None:
    momentary = re.compile(r"\b(now|today|random|uuid|nextval|current_(?!insights)\w+|\w+_timestamp)\b")
    for name in (*PROJECTIONS, *(f"views/{view}" for view in VIEWS)):
        file = load_sql(name)
        for section in file.sections:
            code = re.sub(r"--.*", "", file[section])
            assert momentary.findall(code) == [], (name, section)
