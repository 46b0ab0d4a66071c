"""What the vendor serves, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from postcall.simulator.recordings import render_recording
from postcall.simulator.schedule import plan_schedule
from postcall.simulator.sessions import Recording, Session
from postcall.simulator.vendor import Vendor

KEY = "simulated-key"


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor(plan_schedule(20, seed=2), api_key=KEY) as vendor:
        yield vendor


@pytest.fixture
async def api(vendor: Vendor) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=vendor.api_url, headers=headers, trust_env=False) as client:
        yield client


def path_of(session: Session) -> str:
    return f"/agents/{session.agent_id}/sessions/{session.session_id}"


def sessions_with(vendor: Vendor, recording: Recording) -> list[Session]:
    return [session for session in vendor.schedule.sessions if session.recording == recording]


def finish_all(vendor: Vendor) -> None:
    """Every call is over, and its recording processed."""
    for delivery in vendor.schedule.deliveries:
        vendor.sessions.advance(delivery)


async def test_a_wrong_key_is_refused(vendor: Vendor, api: httpx.AsyncClient) -> None:
    finish_all(vendor)
    path = path_of(vendor.schedule.sessions[0])
    for key in ("", "Bearer", "Bearer other", KEY):
        for suffix in ("", "/recording"):
            answer = await api.get(path + suffix, headers={"authorization": key})
            assert answer.status_code == 401
            assert answer.json() == {"error": "invalid api key"}


async def test_sessions_are_unknown_before_they_start_and_under_other_agents(
    vendor: Vendor, api: httpx.AsyncClient
) -> None:
    session = vendor.schedule.sessions[0]
    assert (await api.get(path_of(session))).status_code == 404
    finish_all(vendor)
    assert (await api.get(path_of(session))).status_code == 200
    assert (await api.get(f"/agents/other/sessions/{session.session_id}")).status_code == 404
    assert (await api.get(f"/agents/{session.agent_id}/sessions/nobody/recording")).status_code == 404


async def test_details_grow_with_the_call(vendor: Vendor, api: httpx.AsyncClient) -> None:
    session = next(one for one in sessions_with(vendor, "completed") if not one.update_comes_first)
    lane = [one for one in vendor.schedule.deliveries if one.session_id == session.session_id and not one.is_broken]
    vendor.sessions.advance(lane[0])
    live = (await api.get(path_of(session))).json()
    assert "ended_at" not in live
    assert live["recording_status"] == "in_progress"
    vendor.sessions.advance(next(one for one in lane if one.kind == "session.end"))
    ended = (await api.get(path_of(session))).json()
    assert ended["duration_ms"] == session.ended_at_ms - session.started_at_ms
    assert ended["recording_status"] == "in_progress"
    vendor.sessions.advance(next(one for one in lane if one.kind == "session.update"))
    assert (await api.get(path_of(session))).json()["recording_status"] == "completed"


async def test_details_pair_what_was_said_with_what_was_answered(vendor: Vendor, api: httpx.AsyncClient) -> None:
    finish_all(vendor)
    for session in vendor.schedule.sessions:
        rows = (await api.get(path_of(session))).json()["transcript"]
        assert rows[0]["user_message"] is None
        texts = [text for row in rows for text in (row["user_message"], row["assistant_message"]) if text is not None]
        assert texts == [turn.text for turn in session.call.turns]


async def test_a_recording_can_be_fetched_once_it_was_announced(vendor: Vendor, api: httpx.AsyncClient) -> None:
    session = sessions_with(vendor, "completed")[1]
    vendor.sessions.advance(next(d for d in vendor.schedule.deliveries if d.session_id == session.session_id))
    early = await api.get(f"{path_of(session)}/recording")
    assert (early.status_code, early.json()) == (409, {"error": "recording in progress"})
    finish_all(vendor)
    answer = await api.get(f"{path_of(session)}/recording")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    assert answer.content == render_recording(session)


async def test_failed_and_unrecorded_sessions_have_no_recording(vendor: Vendor, api: httpx.AsyncClient) -> None:
    finish_all(vendor)
    for session in (*sessions_with(vendor, "failed"), *sessions_with(vendor, "off")):
        assert (await api.get(f"{path_of(session)}/recording")).status_code == 404
        assert (await api.get(path_of(session))).json()["recording_status"] == "not_available"


async def test_one_recording_fails_once_and_all_can_be_fetched(vendor: Vendor, api: httpx.AsyncClient) -> None:
    finish_all(vendor)
    recorded = sessions_with(vendor, "completed")
    first = [(await api.get(f"{path_of(session)}/recording")).status_code for session in recorded]
    assert sorted(first) == [*[200] * (len(recorded) - 1), 503]
    assert not await vendor.wait_for_recordings(timeout_s=0.01)
    second = [(await api.get(f"{path_of(session)}/recording")).status_code for session in recorded]
    assert set(second) == {200}
    assert await vendor.wait_for_recordings(timeout_s=5)
    assert len(vendor.sessions.recordings_served) == vendor.schedule.expected.recordings_stored


async def test_a_vendor_leaves_its_port_when_it_goes() -> None:
    async with Vendor(plan_schedule(1, seed=1), api_key=KEY) as vendor:
        url = vendor.api_url
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
