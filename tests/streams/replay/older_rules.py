"""Deliveries, and a normalizer from before a fix: what it derives is not what today's does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from postcall.log_connection import LogConnection
from postcall.records import NewRecord, Record
from postcall.settings import Configuration
from postcall.sources import load_sources
from postcall.topics import DEAD_LETTERS, EVENTS
from streams.normalize import normalize
from streams.transform import TransformStage
from tests.streams.deliveries import END_BODY, UPDATE_BODY, deliver
from tests.streams.log_contents import append_all, count_records
from tests.streams.running import running
from tests.waiting import eventually

TODAY = partial(normalize, sources=load_sources(Configuration()))
#: No normalizer reads it.
GARBAGE = deliver(b"{", session_id=None)


def older(record: Record) -> Sequence[NewRecord]:
    """It does not know updates yet, and takes the agent for the caller."""
    if b"session.update" in record.value:
        return ()
    return TODAY(replace(record, value=record.value.replace(b'"role": "assistant"', b'"role": "user"')))


def ended(number: int) -> dict[str, Any]:
    """The end of a call, whose words both normalizers read, but not alike."""
    return {**END_BODY, "session_id": f"s-{number}", "conversation_id": f"c-{number}"}


def monologue(number: int) -> dict[str, Any]:
    """The end of a call in which nobody answered: both normalizers read it alike."""
    return {**ended(number), "transcript": [{"role": "user", "text": f"Anybody there? {number}", "timestamp": 1}]}


def updated(number: int) -> dict[str, Any]:
    """A call's recording is ready, which only today's normalizer reads."""
    return {**UPDATE_BODY, "session_id": f"s-{number}"}


def delivered(body: dict[str, Any]) -> NewRecord:
    """Its delivery."""
    return deliver(body, session_id=body["session_id"])


async def derive_older(log: str, deliveries: Sequence[NewRecord], *, events: int, directory: Path) -> None:
    """Append deliveries, and let the stage before the fix derive so many events of them; the rest it sets aside."""
    await append_all(log, deliveries)
    stage = TransformStage("normalize", older, log=LogConnection(log), directory=directory)
    letters = sum(record == GARBAGE for record in deliveries)
    async with running(stage, log=log, data_dir=directory):

        async def is_done() -> bool:
            found = await count_records(log, EVENTS), await count_records(log, DEAD_LETTERS)
            return found >= (events, letters)

        await eventually(is_done, timeout_s=60)
