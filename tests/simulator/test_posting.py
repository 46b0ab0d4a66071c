"""Deliveries arrive once each session's order is kept, whatever the door does meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import httpx
import pytest

from postcall.simulator.errors import IngestUnreachable
from postcall.simulator.posting import PostingProgress, post_deliveries
from postcall.simulator.schedule import plan_schedule
from postcall.simulator.vendor import Vendor
from tests.simulator.conftest import SECRET, Door


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_everything_is_accepted_once_and_written_into_the_ledger(door: Door, concurrency: int) -> None:
    deliveries = plan_schedule(12, seed=3).deliveries
    ledger = await post_deliveries(deliveries, ingest_url=door.url, secret=SECRET, concurrency=concurrency)
    assert Counter(door.accepted) == Counter(delivery.body for delivery in deliveries)
    assert tuple(receipt.delivery for receipt in ledger.accepted) == deliveries
    assert {receipt.receipt_id for receipt in ledger.receipts} == {f"receipt-{n + 1}" for n in range(len(deliveries))}
    assert ledger.refused == ()


async def test_a_session_keeps_its_order_while_the_door_fails(door: Door) -> None:
    door.failures_per_body = 1
    deliveries = plan_schedule(6, seed=3).deliveries
    ledger = await post_deliveries(deliveries, ingest_url=door.url, secret=SECRET)
    for session_id in {delivery.session_id for delivery in deliveries}:
        lane = [delivery.body for delivery in deliveries if delivery.session_id == session_id]
        assert [body for body in door.accepted if body in lane] == lane
    assert {receipt.attempts for receipt in ledger.receipts if not receipt.delivery.is_repeat} == {2}


async def test_a_refusal_is_final_and_noted(door: Door) -> None:
    deliveries = plan_schedule(2, seed=3).deliveries
    ledger = await post_deliveries(deliveries, ingest_url=door.url, secret="not the secret")
    assert {(receipt.status, receipt.attempts) for receipt in ledger.refused} == {(401, 1)}
    assert len(ledger.refused) == len(deliveries)
    assert ledger.accepted == ()


@pytest.mark.parametrize("status", [503, 429])
async def test_patience_ends(door: Door, status: int) -> None:
    door.status = status
    deliveries = plan_schedule(2, seed=3).deliveries
    with pytest.raises(IngestUnreachable, match=f"answered {status}"):
        await post_deliveries(deliveries, ingest_url=door.url, secret=SECRET, patience_s=0.2)


async def test_a_closed_port_is_reported_by_its_url() -> None:
    deliveries = plan_schedule(1, seed=3).deliveries
    with pytest.raises(IngestUnreachable, match=r"http://127\.0\.0\.1:9/"):
        await post_deliveries(deliveries, ingest_url="http://127.0.0.1:9/", secret=SECRET, patience_s=0.0)


async def test_the_agent_goes_into_the_url_where_asked(door: Door) -> None:
    deliveries = plan_schedule(2, seed=3).deliveries
    await post_deliveries(deliveries, ingest_url=f"{door.url}/{{agent_id}}", secret=SECRET)
    assert set(door.paths) == {f"/webhooks/layercode/{delivery.agent_id}" for delivery in deliveries}


async def test_progress_ends_at_the_total(door: Door) -> None:
    door.failures_per_body = 1
    seen: list[PostingProgress] = []
    deliveries = plan_schedule(3, seed=3).deliveries
    await post_deliveries(deliveries, ingest_url=door.url, secret=SECRET, on_progress=seen.append)
    distinct = len({delivery.body for delivery in deliveries})
    assert seen[-1] == PostingProgress(total=len(deliveries), accepted=len(deliveries), refused=0, retries=distinct)
    assert [progress.accepted for progress in seen] == sorted(progress.accepted for progress in seen)


async def test_a_rate_is_not_exceeded(door: Door) -> None:
    deliveries = plan_schedule(3, seed=3).deliveries[:11]
    started_at_s = time.monotonic()
    await post_deliveries(deliveries, ingest_url=door.url, secret=SECRET, rate_per_s=50)
    assert time.monotonic() - started_at_s >= 10 / 50


async def test_a_signature_can_be_old(door: Door) -> None:
    delivery = replace(plan_schedule(1, seed=3).deliveries[0], signature_age_s=900)
    await post_deliveries([delivery], ingest_url=door.url, secret=SECRET)
    (moment_s,) = door.moments_s
    assert 890 < time.time() - moment_s < 1000


async def test_a_recording_is_served_when_its_update_arrives(door: Door) -> None:
    """Whoever fetches on receiving an update never finds it missing; the one 503 aside."""
    async with Vendor(plan_schedule(12, seed=5), api_key="key") as vendor:
        await vendor.post(door.url, secret=SECRET)
        recorded = [session for session in vendor.schedule.sessions if session.recording == "completed"]
        headers = {"authorization": "Bearer key"}
        async with httpx.AsyncClient(base_url=vendor.api_url, headers=headers, trust_env=False) as api:
            for session in recorded:
                details = await api.get(f"/agents/{session.agent_id}/sessions/{session.session_id}")
                assert details.json()["recording_status"] == "completed"
