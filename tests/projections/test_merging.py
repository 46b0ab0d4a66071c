"""The merge rules: any order, any repetition and any cutting into batches give the same rows."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postcall.dead_letters import DeadLetter, dead_letter
from postcall.decisions import DeadLetterResolved, Resolution
from postcall.events import (
    ClientDataReceived,
    DomainEvent,
    RecordingReady,
    RecordingUnavailable,
    SessionEnded,
    SessionFetched,
    SessionStarted,
    Turn,
    TurnReceived,
    input_hash,
)
from postcall.messages import Message, derive_id
from postcall.outcomes import (
    AnalysisDeferred,
    AnalysisFailed,
    AnalysisSkipped,
    InsightExtracted,
    RecordingDeferred,
    RecordingFailed,
    RecordingStored,
)
from postcall.records import Record
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import Said, apply_records, number_records, read_tables

NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)
TRANSCRIPTS = (
    (),
    (Turn(role="assistant", text="Acme Plumbing, how can I help?", spoken_at=NOON),),
    (Turn(role="assistant", text="Acme."), Turn(role="user", text="My boiler is leaking.", latency_ms=640)),
    (Turn(role="assistant", text="Acme."), Turn(role="user", text="My boiler leaks.")),
)


@st.composite
def session_events(draw: st.DrawFn) -> Message:
    kinds: list[type[DomainEvent]] = [
        SessionStarted, TurnReceived, ClientDataReceived, SessionEnded, SessionFetched, RecordingReady,
        RecordingUnavailable,
    ]  # fmt: skip
    kind = draw(st.sampled_from(kinds))
    fields: dict[str, Any] = {
        "session_id": draw(st.sampled_from(["s1", "s2"])),
        "conversation_id": draw(st.sampled_from([None, "c1", "c2"])),
        "agent_id": draw(st.sampled_from([None, "agent"])),
        "from_number": draw(st.sampled_from([None, "+442079460001", "+442079460002"])),
        "metadata": draw(st.sampled_from([{}, {"tenant": "acme"}, {"tenant": "b", "crm": {"id": 1}}, {"crm": None}])),
    }
    if kind in {SessionEnded, SessionFetched}:
        transcript = draw(st.sampled_from(TRANSCRIPTS))
        fields |= {
            "started_at": draw(st.sampled_from([None, NOON])),
            "duration_ms": draw(st.sampled_from([None, 0, 138823])),
            "language": draw(st.sampled_from([None, "en"])),
            "recording_expected": draw(st.sampled_from([None, True, False])),
            "extensions": draw(st.sampled_from([{}, {"odd": 0.85}])),
            "transcript": transcript,
            "input_hash": input_hash(transcript),
        }
    extra: dict[type[DomainEvent], dict[str, Any]] = {
        TurnReceived: {"text": draw(st.sampled_from(["Hello", "It leaks"]))},
        SessionFetched: {"is_complete": draw(st.booleans())},
        RecordingReady: {"url": "https://vendor.example/recording"},
        RecordingUnavailable: {"reason": draw(st.sampled_from(["encoder stopped", "off"]))},
    }
    return kind(**fields, **extra.get(kind, {}))


@st.composite
def outcomes(draw: st.DrawFn) -> Message:
    work: dict[str, Any] = {
        "session_id": draw(st.sampled_from(["s1", "s2"])),
        "request_id": derive_id("request"),
        "attempt": draw(st.integers(1, 3)),
    }
    reason = draw(st.sampled_from(["gone", "too late"]))
    analysis = work | {
        "analyzer": "summary",
        "revision": draw(st.integers(1, 2)),
        "input_hash": input_hash(draw(st.sampled_from(TRANSCRIPTS))),
        "trigger": "live",
        "produced_at": NOON + timedelta(minutes=draw(st.integers(0, 2))),
        "cost_usd": draw(st.sampled_from([None, Decimal("0.0012")])),
    }
    result = draw(st.sampled_from([{}, {"summary": "A leak.", "sentiment": "neutral"}]))
    stored = {"uri": "recordings/s1.wav", "bytes": 44, "sha256": draw(st.sampled_from(["aa", "bb"])), "stored_at": NOON}
    return draw(
        st.sampled_from(
            [
                RecordingStored(**work, **stored),
                RecordingFailed(**work, reason=reason),
                RecordingDeferred(**work, reason=reason, not_before=NOON),
                InsightExtracted(**analysis, result=result),
                AnalysisFailed(**analysis, reason=reason),
                AnalysisSkipped(**analysis, reason=reason),
                AnalysisDeferred(**analysis, reason=reason, not_before=NOON),
            ]
        )
    )


def make_letter(*, body: bytes = b"{", offset: int = 0, attempts: int = 1, reason: str = "no JSON") -> DeadLetter:
    record = Record(topic="postcall.webhooks", partition=0, offset=offset, timestamp_ms=0, key=None, value=body)
    return dead_letter(record, stage="normalize", error_class="unreadable", reason=reason, attempts=attempts)


def resolve(letter: DeadLetter, *, resolution: Resolution = "replayed") -> DeadLetterResolved:
    return DeadLetterResolved(dead_letter_id=letter.id, attempts=letter.attempts, resolution=resolution)


@st.composite
def dead_letters(draw: st.DrawFn) -> Message:
    body, reason = draw(st.sampled_from([b"", b"{"])), draw(st.sampled_from(["no JSON", "no type"]))
    letter = make_letter(body=body, offset=draw(st.integers(0, 3)), attempts=draw(st.integers(1, 3)), reason=reason)
    resolution: Resolution | None = draw(st.sampled_from([None, "replayed", "dismissed"]))
    return resolve(letter, resolution=resolution) if resolution else letter


said = st.builds(
    Said,
    message=st.one_of(session_events(), outcomes(), dead_letters()),
    at=st.integers(0, 5).map(lambda minutes: NOON + timedelta(minutes=minutes)),
)
logs = st.lists(said, min_size=1, max_size=14)


@contextmanager
def empty_warehouse() -> Iterator[Warehouse]:
    # Emptied rather than opened anew: opening takes a hundred times as long.
    warehouse = shared_warehouse()
    yield warehouse
    with warehouse.snapshot() as reader:
        tables = reader.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name != 'base'"
        ).fetchall()
    with warehouse.transaction() as writer:
        for table in ["base.checkpoints", *(name for (name,) in tables)]:
            writer.execute(f"DELETE FROM {table}")  # noqa: S608 - our own tables
    # What it remembers of its checkpoints.
    warehouse.adopt(warehouse.definitions)


@cache
def shared_warehouse() -> Warehouse:
    return Warehouse(":memory:")


def tables_of(log: list[Said], *, batch_size: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    with empty_warehouse() as warehouse:
        apply_records(warehouse, number_records(one.to_record() for one in log), batch_size=batch_size)
        return read_tables(warehouse)


@given(log=logs, seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_any_order_gives_the_same_rows(log: list[Said], seed: int) -> None:
    shuffled = random.Random(seed).sample(log, len(log))  # noqa: S311 - an order, not a secret
    assert tables_of(shuffled, batch_size=3) == tables_of(log)


@given(log=logs, batch_size=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_any_cutting_into_batches_gives_the_same_rows(log: list[Said], batch_size: int) -> None:
    assert tables_of(log, batch_size=batch_size) == tables_of(log)


@given(log=logs, batch_size=st.integers(1, 5))
@settings(max_examples=12, deadline=None)
def test_a_log_said_twice_gives_the_same_rows(log: list[Said], batch_size: int) -> None:
    assert tables_of([*log, *log], batch_size=batch_size) == tables_of(log)


@given(log=logs)
@settings(max_examples=12, deadline=None)
def test_a_delivery_repeated_later_changes_no_session(log: list[Said]) -> None:
    repeated = [replace(one, at=one.at + timedelta(days=1)) for one in log if isinstance(one.message, DomainEvent)]
    once, twice = tables_of(log), tables_of([*log, *repeated])
    assert {name: rows for name, rows in twice.items() if name != "dead_letters"} == {
        name: rows for name, rows in once.items() if name != "dead_letters"
    }


@given(log=logs)
@settings(max_examples=12, deadline=None)
def test_records_applied_twice_change_nothing(log: list[Said]) -> None:
    records = number_records(one.to_record() for one in log)
    with empty_warehouse() as warehouse:
        apply_records(warehouse, records)
        before = read_tables(warehouse), warehouse.checkpoints()
        apply_records(warehouse, records, batch_size=2)
        assert (read_tables(warehouse), warehouse.checkpoints()) == before


def test_a_delivery_read_twice_is_one_row() -> None:
    records = number_records(make_records(range(3)))
    with empty_warehouse() as warehouse:
        apply_records(warehouse, [*records, *records])
        apply_records(warehouse, records, batch_size=4)
        assert len(read_tables(warehouse, ["webhooks"])["webhooks"]) == 3


def letters_of(*said: Message, batch_size: int | None = None) -> list[dict[str, Any]]:
    """The rows of dead letters, by column, by id."""
    with empty_warehouse() as warehouse:
        records = number_records(Said(message, NOON, "normalize").to_record() for message in said)
        apply_records(warehouse, records, batch_size=batch_size)
        with warehouse.snapshot() as reader:
            cursor = reader.execute("SELECT * FROM dead_letters ORDER BY id")
            columns = [column[0] for column in cursor.description or []]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.parametrize("batch_size", [1, None])
def test_copies_of_one_bad_body_are_one_row_that_counts_them(batch_size: int | None) -> None:
    copies = [make_letter(offset=4), make_letter(offset=9), make_letter(offset=4)]
    (row,) = letters_of(*copies, batch_size=batch_size)
    assert (row["occurrences"], row["kafka_offset"], row["attempts"], row["state"]) == (2, 4, 1, "open")


@pytest.mark.parametrize("batch_size", [1, None])
@pytest.mark.parametrize(("resolution", "state"), [("replayed", "resolved"), ("dismissed", "dismissed")])
def test_a_decision_closes_a_letter_also_if_it_comes_first(
    resolution: Resolution, state: str, batch_size: int | None
) -> None:
    letter = make_letter()
    decision = resolve(letter, resolution=resolution)
    for order in ((letter, decision), (decision, letter), (decision, letter, letter, decision)):
        (row,) = letters_of(*order, batch_size=batch_size)
        assert (row["state"], row["occurrences"]) == (state, 1)
    assert letters_of(decision, batch_size=batch_size) == []


@pytest.mark.parametrize("batch_size", [1, None])
def test_a_letter_that_fails_again_is_open_with_the_reason_of_today(batch_size: int | None) -> None:
    first, again = make_letter(), make_letter(attempts=2, reason="no type")
    for order in ((first, resolve(first), again), (again, first, resolve(first))):
        (row,) = letters_of(*order, batch_size=batch_size)
        assert (row["state"], row["attempts"], row["reason"]) == ("open", 2, "no type")
    (row,) = letters_of(first, resolve(first), again, resolve(again), batch_size=batch_size)
    assert (row["state"], row["attempts"]) == ("resolved", 2)


def session_of(*said: Said) -> dict[str, Any]:
    """The one session's row, by column."""
    with empty_warehouse() as warehouse:
        apply_records(warehouse, number_records(one.to_record() for one in said), batch_size=1)
        with warehouse.snapshot() as reader:
            cursor = reader.execute("SELECT * FROM sessions")
            return dict(zip((column[0] for column in cursor.description or []), cursor.fetchall()[0], strict=True))


def ended(**fields: Any) -> Said:
    """An announced end that says little else."""
    transcript = fields.pop("transcript", TRANSCRIPTS[1])
    return Said(SessionEnded(session_id="s1", transcript=transcript, input_hash=input_hash(transcript), **fields), NOON)


def fetched(*, is_complete: bool, **fields: Any) -> Said:
    """The vendor's own record."""
    transcript = fields.pop("transcript", TRANSCRIPTS[2])
    hashed = input_hash(transcript)
    event = SessionFetched(session_id="s1", is_complete=is_complete, transcript=transcript, input_hash=hashed, **fields)
    return Said(event, NOON)


def test_a_complete_record_wins_and_a_sparser_one_blanks_nothing() -> None:
    row = session_of(
        fetched(is_complete=True, duration_ms=138823),
        ended(duration_ms=1, country_code="GB", agent_id="agent", transcript=TRANSCRIPTS[1]),
    )
    assert (row["duration_ms"], row["country_code"], row["agent_id"], row["turn_count"]) == (138823, "GB", "agent", 2)
    assert row["input_hash"] == input_hash(TRANSCRIPTS[2])


def test_an_announced_end_wins_over_a_partial_record() -> None:
    row = session_of(ended(duration_ms=1), fetched(is_complete=False, duration_ms=2))
    assert (row["duration_ms"], row["turn_count"]) == (1, 1)


def test_the_longer_of_two_ends_wins() -> None:
    row = session_of(ended(transcript=TRANSCRIPTS[2], duration_ms=1), ended(transcript=(), duration_ms=2))
    assert (row["duration_ms"], row["turn_count"]) == (1, 2)


@pytest.mark.parametrize("words", ["Acme Plumbing, how can I help?", "Hello?", "Guten Tag.", "One moment, please."])
def test_of_two_ends_in_one_batch_the_longer_gives_the_turns(words: str) -> None:
    longer = ended(transcript=(Turn(role="assistant", text=words),))
    with empty_warehouse() as warehouse:
        apply_records(warehouse, number_records(one.to_record() for one in (longer, ended(transcript=()))))
        with warehouse.snapshot() as reader:
            assert reader.execute("SELECT seq, text FROM transcripts").fetchall() == [(1, words)]


def test_updated_at_is_of_the_first_copy_whatever_came_first() -> None:
    start = Said(SessionStarted(session_id="s1"), NOON)
    first, repeated = (replace(ended(), at=NOON + timedelta(minutes=minutes)) for minutes in (3, 5))
    assert session_of(start, repeated, first)["updated_at"] == first.at
    assert session_of(start, first, repeated)["updated_at"] == first.at


def test_metadata_of_the_start_is_overlaid_by_the_ends() -> None:
    start = Said(SessionStarted(session_id="s1", metadata={"tenant": "acme", "tier": 1}), NOON)
    assert session_of(ended(metadata={"tier": 2}), start)["metadata"] == '{"tenant":"acme","tier":2}'


def test_metadata_of_an_update_is_merged_with_the_ends() -> None:
    update = Said(
        RecordingReady(session_id="s1", url="https://a", metadata={"crm_id": "A-991", "tier": 9}, extensions={"x": 1}),
        NOON,
    )
    for order in ((ended(metadata={"tier": 2}), update), (update, ended(metadata={"tier": 2}))):
        row = session_of(*order)
        assert json.loads(row["metadata"]) == {"crm_id": "A-991", "tier": 2}
        assert json.loads(row["extensions"]) == {"x": 1}


def test_a_turn_alone_makes_a_stub() -> None:
    row = session_of(Said(TurnReceived(session_id="s1", conversation_id="c1", text="Hello"), NOON))
    assert (row["conversation_id"], row["started_at"], row["turn_count"], row["source"]) == (
        "c1",
        None,
        None,
        "layercode",
    )


def test_an_earlier_transcripts_insight_is_stale() -> None:
    def insight(transcript: tuple[Turn, ...], minutes: int) -> Said:
        outcome = InsightExtracted(
            session_id="s1", request_id=derive_id("request"), attempt=1, analyzer="summary", revision=1,
            input_hash=input_hash(transcript), trigger="live", produced_at=NOON + timedelta(minutes=minutes),
            result={"summary": f"Of {len(transcript)} turns."},
        )  # fmt: skip
        return Said(outcome, NOON, source="insights")

    def current(*said: Said) -> list[tuple[Any, ...]]:
        with empty_warehouse() as warehouse:
            apply_records(warehouse, number_records(one.to_record() for one in said))
            with warehouse.snapshot() as reader:
                return reader.execute("SELECT summary, is_stale FROM insight_summary").fetchall()

    old, new = insight(TRANSCRIPTS[1], 5), insight(TRANSCRIPTS[2], 1)
    end = ended(transcript=TRANSCRIPTS[2])
    assert current(end, old) == [("Of 1 turns.", True)]
    assert current(end, new, old) == [("Of 2 turns.", False)]
