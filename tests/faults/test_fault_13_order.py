"""Fault 13: a session's events come in any order: for every permutation the final rows are the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from postcall.events import RecordingReady, SessionEnded, SessionFetched, SessionStarted, TurnReceived, input_hash
from postcall.messages import Message
from projections.batch import build_batch
from projections.definitions import DefinitionsSource
from projections.new_projection import write_projection
from projections.warehouse import Warehouse
from tests.projections.logbook import Said, number_records
from tests.projections.said import NOON, TRANSCRIPTS

SHOWN = {
    "sessions": "* EXCLUDE (session_id)",
    "transcripts": "list(COLUMNS(* EXCLUDE (session_id)) ORDER BY seq)",
    "calls": "* EXCLUDE (session_id)",
    "refunds": "* EXCLUDE (session_id)",
}


def tell(session_id: str) -> list[Said]:
    """All that can be told of a session, its end twice and not quite the same; each says what no other does."""
    short, long = TRANSCRIPTS[1], TRANSCRIPTS[2]
    of: dict[str, str] = {"session_id": session_id}
    events: list[Message] = [
        SessionStarted(**of, from_number="+442079460001", metadata={"tenant": "acme", "tier": 1}),
        TurnReceived(**of, conversation_id="c1", text="Hello"),
        SessionEnded(**of, transcript=short, input_hash=input_hash(short), country_code="GB"),
        SessionEnded(**of, transcript=long, input_hash=input_hash(long), language="en", metadata={"tier": 2}),
        SessionFetched(**of, is_complete=True, transcript=long, input_hash=input_hash(long), duration_ms=138823),
        RecordingReady(**of, url="https://vendor.example/s1", metadata={"crm_id": "A-991"}),
    ]
    return [Said(event, NOON + timedelta(minutes=number)) for number, event in enumerate(events)]


def permute() -> Iterator[list[Said]]:
    """Every order of those events, each for a session of its own."""
    for number, order in enumerate(itertools.permutations(range(6))):
        told = tell(f"session-{number:03}")
        yield [told[place] for place in order]


def test_fault_13_every_order_of_a_sessions_events_gives_the_same_rows(tmp_path: Path) -> None:
    write_projection("refunds", tmp_path)
    warehouse = Warehouse(":memory:", DefinitionsSource(folder=tmp_path).load())
    told = list(permute())
    try:
        # The first events of all the sessions, then the second ones, and so on: each in a batch of its own.
        records = number_records(each.to_record() for step in zip(*told, strict=True) for each in step)
        for start in range(0, len(records), len(told)):
            warehouse.apply(build_batch(records[start : start + len(told)]))
        with warehouse.snapshot() as reader:
            for name, columns in SHOWN.items():
                group = "GROUP BY session_id" if name == "transcripts" else ""
                rows = f"SELECT {columns} FROM {name} {group}"  # noqa: S608 - our own names
                select = f"SELECT count(DISTINCT each), count(*) FROM ({rows}) AS each"  # noqa: S608 - as above
                assert reader.execute(select).fetchall() == [(1, len(told))], name
            row = reader.execute(
                "SELECT from_number, conversation_id, country_code, language, duration_ms, turn_count FROM sessions"
            ).fetchone()
    finally:
        warehouse.close()
    # Of two announced ends the one with more turns is taken whole; of the others nothing is lost.
    assert row == ("+442079460001", "c1", None, "en", 138823, 2)
