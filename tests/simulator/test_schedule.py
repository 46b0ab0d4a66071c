"""The mix that the pipeline must cope with is there, and the expected counts are the truth about it."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postcall.simulator.schedule import Delivery, Schedule, plan_schedule

SEEDS = range(12)
_FICTIONAL = re.compile(
    r"\+44(2079460|1134960|1614960|7700900)\d{3}"  # Ofcom
    r"|\+493023125\d{3}"  # Bundesnetzagentur
    r"|\+1\d{3}55501\d{2}"  # NANPA
)


@pytest.fixture(scope="module", params=SEEDS)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    return plan_schedule(20, seed=request.param)


def read(deliveries: Sequence[Delivery]) -> Iterator[tuple[Delivery, dict[str, Any]]]:
    for delivery in deliveries:
        if not delivery.is_broken:
            yield delivery, json.loads(delivery.body)


def lanes_of(schedule: Schedule) -> dict[str, list[Delivery]]:
    lanes = defaultdict(list)
    for delivery in schedule.deliveries:
        lanes[delivery.session_id].append(delivery)
    return lanes


def test_same_seed_same_bytes() -> None:
    assert plan_schedule(30, seed=4) == plan_schedule(30, seed=4)


@given(seed=st.integers(min_value=0, max_value=2**31), other=st.integers(min_value=0, max_value=2**31))
@settings(max_examples=20)
def test_other_seed_other_bytes(seed: int, other: int) -> None:
    one = {delivery.body for delivery in plan_schedule(3, seed=seed).deliveries}
    two = {delivery.body for delivery in plan_schedule(3, seed=other).deliveries}
    assert (one == two) == (seed == other)


def test_twenty_calls_hold_every_kind_of_delivery(schedule: Schedule) -> None:
    kinds = {payload["type"] for _, payload in read(schedule.deliveries)}
    assert {"session.start", "message", "data", "session.end", "session.update"} <= kinds
    assert {"SESSION_START", "welcome"} <= kinds
    updates = {payload["recording_status"] for _, payload in read(schedule.deliveries) if "error_message" in payload}
    assert updates == {"failed"}
    ends = {payload["recording_status"] for delivery, payload in read(schedule.deliveries) if is_end(delivery)}
    assert ends == {"enabled", "disabled"}


def is_end(delivery: Delivery) -> bool:
    return delivery.kind == "session.end"


def test_twenty_calls_hold_every_way_to_write_a_moment(schedule: Schedule) -> None:
    ends = [payload for delivery, payload in read(schedule.deliveries) if is_end(delivery)]
    moments = [end["transcript"][0]["timestamp"] for end in ends]
    assert any(isinstance(moment, int) for moment in moments)
    assert any(isinstance(moment, str) and moment.isdigit() for moment in moments)
    assert any(isinstance(moment, str) and moment.endswith("Z") for moment in moments)


def test_twenty_calls_hold_old_names(schedule: Schedule) -> None:
    old = [payload for _, payload in read(schedule.deliveries) if "connection_id" in payload]
    assert any("pipeline_id" in payload and "agent_id" not in payload for payload in old)
    assert any("metadata" in payload for _, payload in read(schedule.deliveries))
    assert any("custom_metadata" in payload for _, payload in read(schedule.deliveries))


def test_some_updates_come_before_their_ends(schedule: Schedule) -> None:
    early = 0
    for lane in lanes_of(schedule).values():
        kinds = [delivery.kind for delivery in lane if not delivery.is_broken]
        early += "session.update" in kinds and kinds.index("session.update") < kinds.index("session.end")
    assert 1 <= early < len(schedule.sessions) / 2


def test_repeats_are_the_same_bytes_later_in_the_same_session(schedule: Schedule) -> None:
    seen: set[tuple[str, bytes]] = set()
    for delivery in schedule.deliveries:
        assert ((delivery.session_id, delivery.body) in seen) == delivery.is_repeat
        seen.add((delivery.session_id, delivery.body))
    repeated = {delivery.kind for delivery in schedule.deliveries if delivery.is_repeat}
    assert {"session.start", "session.end"} <= repeated


def test_one_body_is_broken_and_comes_twice(schedule: Schedule) -> None:
    broken = [delivery for delivery in schedule.deliveries if delivery.is_broken]
    assert [delivery.is_repeat for delivery in broken] == [False, True]
    for delivery in broken:
        with pytest.raises(ValueError, match=r"Unterminated|Expecting|codec|Invalid"):
            json.loads(delivery.body)


def test_every_session_has_one_true_start_and_end_with_a_transcript(schedule: Schedule) -> None:
    told = Counter((d.session_id, d.kind) for d, _ in read(schedule.deliveries) if not d.is_repeat)
    for session in schedule.sessions:
        assert told[session.session_id, "session.start"] == told[session.session_id, "session.end"] == 1
        assert told[session.session_id, "session.update"] == (session.recording != "off")
    assert all(lane[0].kind == "session.start" for lane in lanes_of(schedule).values())
    for delivery, payload in read(schedule.deliveries):
        if is_end(delivery):
            assert payload["transcript"]
            assert all(row["text"].strip() for row in payload["transcript"])


def test_reconnects_share_a_conversation_but_no_session(schedule: Schedule) -> None:
    conversations = Counter(session.conversation_id for session in schedule.sessions)
    assert max(conversations.values()) >= 2
    assert len({session.session_id for session in schedule.sessions}) == 20
    by_index = {session.call.index: session for session in schedule.sessions}
    for session in schedule.sessions:
        if session.call.continues is not None:
            earlier = by_index[session.call.continues]
            assert session.conversation_id == earlier.conversation_id
            assert 0 < session.started_at_ms - earlier.ended_at_ms < 60_000


def test_calls_interleave(schedule: Schedule) -> None:
    neighbours = itertools.pairwise(delivery.session_id for delivery in schedule.deliveries)
    assert sum(one != other for one, other in neighbours) > len(schedule.deliveries) / 2


def test_all_telephone_numbers_are_fictional(schedule: Schedule) -> None:
    numbers = [
        payload[key]
        for _, payload in read(schedule.deliveries)
        for key in ("from_phone_number", "to_phone_number")
        if key in payload
    ]
    assert numbers
    assert [number for number in numbers if not _FICTIONAL.fullmatch(number)] == []


def test_expected_counts_follow_from_the_bodies_alone(schedule: Schedule) -> None:
    ends: dict[str, dict[str, Any]] = {}
    updates: dict[str, str] = {}
    for delivery, payload in read(schedule.deliveries):
        session_id = payload.get("connection_id", payload["session_id"])
        assert session_id == delivery.session_id
        if delivery.kind == "session.end":
            ends[session_id] = payload
        if delivery.kind == "session.update":
            updates[session_id] = payload["recording_status"]
    expected = schedule.expected
    assert expected.calls == expected.sessions == len(ends)
    assert expected.webhooks == len(schedule.deliveries)
    assert expected.turns == sum(len(end["transcript"]) for end in ends.values())
    stated = Counter(updates.values())
    assert (expected.recordings_stored, expected.recordings_unavailable) == (stated["completed"], stated["failed"])
    assert expected.recordings_off == sum(end["recording_status"] == "disabled" for end in ends.values())
    assert expected.broken_bodies == 1


def test_recording_urls_begin_with_the_given_api_url() -> None:
    schedule = plan_schedule(10, seed=1, api_url="http://127.0.0.1:9/v1")
    urls = [payload["recording_url"] for _, payload in read(schedule.deliveries) if "recording_url" in payload]
    assert urls
    assert all(url.startswith("http://127.0.0.1:9/v1/agents/") for url in urls)


def test_moments_lie_within_the_call_and_never_depend_on_today(schedule: Schedule) -> None:
    for session in schedule.sessions:
        times = (session.started_at_ms, *session.turn_times_ms, session.ended_at_ms)
        assert list(times) == sorted(times)
    starts = [session.started_at_ms for session in schedule.sessions]
    assert 1_756_000_000_000 < min(starts) < max(starts) < 1_780_000_000_000


def test_one_call_is_enough_for_a_schedule() -> None:
    schedule = plan_schedule(1, seed=0)
    assert schedule.expected.calls == schedule.expected.broken_bodies == 1
