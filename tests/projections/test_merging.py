"""The merge rules, one by one: which record of a session wins, and what it may blank."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from postcall.decisions import Resolution
from postcall.events import RecordingReady, SessionEnded, SessionFetched, SessionStarted, Turn, TurnReceived, input_hash
from postcall.messages import Message, derive_id
from postcall.outcomes import InsightExtracted
from projections.warehouse import Warehouse
from tests.projections.calls import make_records
from tests.projections.logbook import Said, apply_records, forget_all, number_records, read_tables
from tests.projections.said import NOON, TRANSCRIPTS, make_letter, resolve


@contextmanager
def empty_warehouse() -> Iterator[Warehouse]:
    warehouse = shared_warehouse()
    yield warehouse
    forget_all(warehouse)


@cache
def shared_warehouse() -> Warehouse:
    return Warehouse(":memory:")


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
