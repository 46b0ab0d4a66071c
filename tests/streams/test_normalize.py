"""Normalizing: a pure function from a delivery to domain events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcall.errors import UnreadableRecord
from postcall.events import SessionEnded, TurnReceived
from postcall.log import open_record
from postcall.records import NewRecord
from postcall.settings import Configuration
from postcall.sources import load_sources
from streams.normalize import normalize
from tests.streams.deliveries import END_BODY, RECEIVED_AT, deliver, deliver_message, message_body, read_back

SOURCES = load_sources(Configuration())


def test_a_session_end_becomes_one_event_with_its_cause() -> None:
    (derived,) = normalize(read_back(deliver(END_BODY), partition=2, offset=7), SOURCES)
    envelope = open_record(read_back(derived))
    assert isinstance(envelope.message, SessionEnded)
    assert envelope.message.duration_ms == 138823
    assert (envelope.source, envelope.time, envelope.causation) == ("layercode", RECEIVED_AT, "postcall.webhooks/2/7")
    assert derived.key == b"s-1"


def test_a_repeated_delivery_gives_the_same_event() -> None:
    first, second = (
        normalize(read_back(deliver_message(1), offset=offset), SOURCES)[0].headers for offset in (3, 1003)
    )
    assert dict(first)["ce_id"] == dict(second)["ce_id"]
    assert dict(first)["ce_causation"] != dict(second)["ce_causation"]


def test_what_says_nothing_to_us_gives_no_event() -> None:
    assert normalize(read_back(deliver({"type": "weather.report", "session_id": "s-1"})), SOURCES) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe", b'{"type": "message"}', b"[" * 100_000])
def test_a_broken_body_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        normalize(read_back(deliver(body)), SOURCES)


def test_an_unknown_source_is_unreadable() -> None:
    with pytest.raises(UnreadableRecord, match="'telephone'"):
        normalize(read_back(deliver(END_BODY, source="telephone")), SOURCES)


def test_a_foreign_record_is_unreadable() -> None:
    foreign = NewRecord(topic="postcall.webhooks", key=None, value=b"{}")
    with pytest.raises(UnreadableRecord, match="headers"):
        normalize(read_back(foreign), SOURCES)


EXTREMES: dict[str, Any] = {
    "integer of 5000 digits": int("9" * 4000),
    "integer above 64 bits": 2**80,
    "lone surrogate": "\ud800",
    "not a number": float("nan"),
    "infinity": float("inf"),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_values_are_kept_or_unreadable_but_never_a_fault_of_ours(name: str) -> None:
    body = {**message_body(1), "metadata": {"value": EXTREMES[name]}, "surprise": EXTREMES[name]}
    record = read_back(deliver(json.dumps(body).encode()))
    try:
        (derived,) = normalize(record, SOURCES)
    except UnreadableRecord:
        return
    assert isinstance(open_record(read_back(derived)).message, TurnReceived)


def test_deep_nesting_is_kept_or_unreadable_but_never_a_fault_of_ours() -> None:
    for depth in (10, 200, 900, 5000):
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        body = b'{"type":"message","session_id":"s-1","text":"hello","metadata":' + nested + b"}"
        try:
            (derived,) = normalize(read_back(deliver(body)), SOURCES)
        except UnreadableRecord:
            continue
        assert isinstance(open_record(read_back(derived)).message, TurnReceived)


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_no_bytes_break_it(body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps({"type": "message", "session_id": "s", "text": body}).encode()
    try:
        derived = normalize(read_back(deliver(raw)), SOURCES)
    except UnreadableRecord:
        return
    for record in derived:
        open_record(read_back(record))
