"""Fault 16: the vendor changes what it sends: the raw body is kept, what can be is typed, the rest in `extensions`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from postcall.records import NewRecord, Record
from projections.warehouse import Warehouse
from streams.normalize import normalize
from tests.projections.logbook import apply_records, number_records
from tests.sources.payloads import make_delivery, make_source, read_payload

SOURCES = {"layercode": make_source()}
#: What is done to a body, and what of the session's row must be found then.
DRIFTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {"duration_ms": 138823, "latency_ms": 640, "country_code": "GB", "turn_count": 2}),
    "added": ({"mood": "calm", "nested": {"a": [1]}}, {"extensions": {"mood": "calm", "nested": {"a": [1]}}}),
    "missing": ({"duration": ..., "latency": ...}, {"duration_ms": 138823, "latency_ms": None, "country_code": "GB"}),
    "missing turns": ({"transcript": ...}, {"turn_count": 0, "duration_ms": 138823}),
    "null": ({"country_code": None, "transcript": None}, {"country_code": None, "turn_count": 0, "extensions": {}}),
    "a number as a text": ({"latency": "fast"}, {"latency_ms": None, "extensions": {"latency": "fast"}}),
    "a text as an object": (
        {"country_code": {"iso": "GB"}},
        {"country_code": None, "extensions": {"country_code": {"iso": "GB"}}},
    ),
    "a time that is none": (
        {"started_at": "soon"},
        {"started_at": None, "duration_ms": 138823, "extensions": {"started_at": "soon"}},
    ),
    "turns as a text": ({"transcript": "Hello."}, {"turn_count": 0, "extensions": {"transcript": "Hello."}}),
    "a value that is new": (
        {"recording_status": "paused"},
        {"recording_expected": None, "extensions": {"recording_status": "paused"}},
    ),
    "metadata as a list": ({"custom_metadata": ["acme"]}, {"extensions": {"custom_metadata": ["acme"]}}),
}


def drift(fields: dict[str, Any]) -> bytes:
    body: dict[str, Any] = json.loads(read_payload("session_end")) | fields
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


def project(body: bytes, question: str) -> list[dict[str, Any]]:
    """What the warehouse answers once a delivery went all the way."""
    delivery = make_delivery(body, session_id="k3v9q0example0session001").to_record()
    (raw,) = number_records([delivery])
    events: list[NewRecord] = list(normalize(raw, SOURCES))
    warehouse = Warehouse(":memory:")
    try:
        records: list[Record] = number_records([delivery, *events])
        apply_records(warehouse, records)
        with warehouse.snapshot() as reader:
            cursor = reader.execute(question)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        warehouse.close()


@pytest.mark.parametrize(("fields", "expected"), DRIFTS.values(), ids=DRIFTS)
def test_fault_16_what_drifts_is_typed_where_it_can_be_and_kept_where_it_cannot(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    (row,) = project(drift(fields), "SELECT *, sha256 FROM sessions JOIN webhooks USING (session_id)")
    row["extensions"] = json.loads(row["extensions"])
    assert {name: row[name] for name in expected} == expected
    # The raw delivery is in the log as it came.
    assert row["sha256"] == hashlib.sha256(drift(fields)).hexdigest()


def test_fault_16_a_type_that_is_new_is_a_delivery_and_no_session() -> None:
    body = drift({"type": "session.rated", "stars": 5})
    question = "SELECT (SELECT count(*) FROM sessions) AS sessions, sha256 FROM webhooks"
    assert project(body, question) == [{"sessions": 0, "sha256": hashlib.sha256(body).hexdigest()}]
