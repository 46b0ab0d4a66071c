"""The oracle can fail: what it is there to find, it finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postcall.records import Record
from postcall.simulator.schedule import Delivery
from tests.faults.ledger import Ledger, Request
from tests.faults.oracle import hold_log

DELIVERY = Delivery(session_id="s1", agent_id="a", kind="session.end", body=b"{}")
BODY_SHA256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
STORED = Record(
    topic="postcall.webhooks",
    partition=0,
    offset=0,
    timestamp_ms=0,
    key=b"s1",
    value=b"{}",
    headers=(("receipt-id", b"r1"),),
)


def ledger_of(status: int | None, receipt_id: str | None = "r1") -> Ledger:
    ledger = Ledger()
    ledger.requests.append(
        Request(
            delivery=DELIVERY,
            body_sha256=BODY_SHA256,
            status=status,
            receipt_id=receipt_id,
            asked_at_s=0,
            seconds=0,
        )
    )
    return ledger


@pytest.mark.parametrize("status", [200, 503])
def test_what_was_taken_is_there(status: int) -> None:
    hold_log([STORED], ledger_of(status))


def test_what_had_no_answer_may_be_there_or_not() -> None:
    hold_log([STORED], ledger_of(None, None))
    hold_log([], ledger_of(None, None))


def test_what_the_door_could_not_store_may_be_missing() -> None:
    hold_log([], ledger_of(503))


@pytest.mark.parametrize(
    "stored",
    [
        [],
        [replace(STORED, value=b"[]")],
        [replace(STORED, key=b"s2")],
        [replace(STORED, headers=(("receipt-id", b"r2"),))],
    ],
)
def test_what_was_accepted_and_is_missing_or_changed_is_found(stored: list[Record]) -> None:
    with pytest.raises(AssertionError, match="not in the log"):
        hold_log(stored, ledger_of(200))


def test_what_was_refused_and_is_there_is_found() -> None:
    with pytest.raises(AssertionError, match="refused"):
        hold_log([STORED], ledger_of(401))


@pytest.mark.parametrize("status", [200, 503, None])
def test_what_nobody_sent_is_found(status: int | None) -> None:
    stranger = replace(STORED, value=b"[]", headers=(("receipt-id", b"r2"),))
    with pytest.raises(AssertionError, match="never sent"):
        hold_log([STORED, stranger], ledger_of(status, "r1" if status else None))
