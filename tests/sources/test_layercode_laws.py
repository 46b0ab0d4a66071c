"""What holds for any bytes: nothing but `UnreadableBody` is raised, and the same delivery gives the same events."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postcall.deliveries import SignatureState
from postcall.events import DomainEvent
from postcall.sources.base import UnreadableBody
from tests.sources.payloads import ALL_PAYLOADS, make_delivery, make_source, read_payload

SOURCE = make_source()
OTHER_FIELDS = """
connection_id conversation_id agent_id turn_id text data metadata custom_metadata duration duration_ms latency
started_at ended_at recording_url recording_duration error_message interruption_context from_phone_number country_code
tts_duration_seconds
"""

# A machine that is busy with other things is no failure.
patient = settings(deadline=None)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1e400", "nan", "٣"])
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
types = st.sampled_from(["message", "data", "session.start", "session.end", "session.update", "SESSION_END"])
rows = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("role", "text", "timestamp", "user_message", "assistant_message", "latency_ms"), values)
)
payloads = st.fixed_dictionaries(
    {"type": types | values, "session_id": st.text(min_size=1) | values},
    optional={
        "transcript": st.lists(rows | values) | values,
        "recording_status": st.sampled_from(["completed", "failed", "enabled"]) | values,
        **dict.fromkeys(OTHER_FIELDS.split(), values),
    },
)
signatures = st.sampled_from(["verified", "rest"])


def normalize_or_refuse(body: bytes, signature: SignatureState = "verified") -> Sequence[DomainEvent]:
    with contextlib.suppress(UnreadableBody):
        return SOURCE.normalize(make_delivery(body, signature=signature))
    return ()


def encode(payload: Any) -> bytes:
    return json.dumps(payload).encode()


@patient
@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    normalize_or_refuse(body)
    SOURCE.reply(body, SOURCE.identify(body))


@patient
@given(payloads, signatures)
def test_any_payload_is_read_or_refused_and_what_is_read_survives_the_log(
    payload: dict[str, Any], signature: SignatureState
) -> None:
    body = encode(payload)
    for event in normalize_or_refuse(body, signature):
        sealed = event.canonical_json()
        assert type(event).model_validate_json(sealed).canonical_json() == sealed
        assert b"\\u0000" not in sealed


@patient
@given(payloads)
def test_the_door_and_the_normalizer_see_the_same_session(payload: dict[str, Any]) -> None:
    body = encode(payload)
    identity = SOURCE.identify(body)
    assert {event.session_id for event in normalize_or_refuse(body)} <= {identity.session_id}
    SOURCE.reply(body, identity)


@patient
@given(payloads)
def test_a_repeat_gives_equal_ids_whenever_and_however_often_it_comes(payload: dict[str, Any]) -> None:
    body = encode(payload)
    first = normalize_or_refuse(body)
    later = make_delivery(body, received_at=datetime(2027, 1, 1, tzinfo=UTC), receipt_id="receipt-2")
    again = SOURCE.normalize(later) if first else ()
    assert [event.identity("layercode") for event in first] == [event.identity("layercode") for event in again]


@pytest.mark.parametrize("name", ALL_PAYLOADS)
def test_key_order_and_blanks_change_no_identity(name: str) -> None:
    body = read_payload(name)
    respelled = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    signature: SignatureState = "rest" if name.startswith("session_details") else "verified"
    ids = [event.identity("layercode") for event in normalize_or_refuse(body, signature)]
    assert ids == [event.identity("layercode") for event in normalize_or_refuse(respelled, signature)]
