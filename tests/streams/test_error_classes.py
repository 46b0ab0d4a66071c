"""Which class a record that cannot be used gets: what a person has to look at."""

from __future__ import annotations

from functools import partial

import pytest

from postcall.dead_letters import ErrorClass
from postcall.errors import UnreadableRecord
from postcall.records import Headers, NewRecord
from postcall.settings import Configuration
from postcall.sources import load_sources
from streams.normalize import normalize
from streams.plan import plan
from tests.streams.deliveries import END_BODY, deliver, message_body, read_back

NORMALIZE = partial(normalize, sources=load_sources(Configuration()))
EVENT_ID = "03d0b1a8-6d4b-5b6f-8f7e-3b1d3c6f3a10"


def classify(record: NewRecord, *, stage: str = "normalize") -> ErrorClass:
    derive = NORMALIZE if stage == "normalize" else partial(plan, analyzers=())
    with pytest.raises(UnreadableRecord) as refused:
        derive(read_back(record))
    return refused.value.error_class


def without(header: str) -> NewRecord:
    record = deliver(message_body(1))
    headers = tuple(pair for pair in record.headers if pair[0] != header)
    return NewRecord(topic=record.topic, key=record.key, value=record.value, headers=headers)


@pytest.mark.parametrize(
    ("record", "error_class"),
    [
        (without("signature"), "signature"),
        (without("receipt-id"), "unreadable"),
        (deliver(b"{"), "unreadable"),
        (deliver(b'{"type":"message","session_id":"s","x":' + b"[" * 200 + b"]" * 200 + b"}"), "unreadable"),
        (deliver(b"[1]"), "schema"),
        (deliver({"session_id": "s-1"}), "schema"),
        (deliver({"type": "message"}), "schema"),
        (deliver(END_BODY, source="telephone"), "vendor"),
    ],
)
def test_a_delivery_is_classed_by_what_is_wrong_with_it(record: NewRecord, error_class: ErrorClass) -> None:
    assert classify(record) == error_class


def event(value: bytes, *, ce_type: bytes | None = b"SessionStarted", more: Headers = ()) -> NewRecord:
    typed = (("ce_type", ce_type),) if ce_type is not None else ()
    headers = (("ce_id", EVENT_ID.encode()), ("ce_time", b"2026-02-03T09:14:02+00:00"), *typed, *more)
    return NewRecord(topic="postcall.events-g1", key=b"s", value=value, headers=headers)


@pytest.mark.parametrize(
    ("record", "error_class"),
    [
        (event(b"{"), "unreadable"),
        (event(b"{}", ce_type=None), "unreadable"),
        (event(b"{}", more=(("key-id", b"k1"),)), "unreadable"),
        (event(b"{}"), "schema"),
        (event(b"{}", ce_type=b"SessionDreamt"), "schema"),
    ],
)
def test_an_event_is_classed_by_what_is_wrong_with_it(record: NewRecord, error_class: ErrorClass) -> None:
    assert classify(record, stage="plan") == error_class
