"""What was read is proven by a look at the log after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from postcall.kafka import open_admin
from postcall.known_log.identity import read_identity
from postcall.known_log.watch import prove_read, watch_log
from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from postcall.topics import WEBHOOKS
from tests.waiting import eventually

pytestmark = pytest.mark.both_logs


class Reader:
    """Reads a record between any two looks; `proven` is what was read before a look that found nothing."""

    def __init__(self) -> None:
        self.read = 0
        self.proven = 0

    async def note_read(self) -> Callable[[], Awaitable[None]]:
        noted, self.read = self.read, self.read + 1

        async def prove() -> None:
            self.proven = noted

        return prove


async def make_webhooks_anew(log: LogConnection) -> None:
    async with open_admin(log) as admin:
        await admin.delete_topics([WEBHOOKS.name])

    async def is_made() -> bool:
        return WEBHOOKS.name in (await create_topics(log, TopicSettings())).made

    await eventually(is_made)


async def test_what_was_read_before_a_look_is_proven_by_it(log_address: str) -> None:
    log, reader = LogConnection(log_address), Reader()
    await create_topics(log, TopicSettings())
    known = await read_identity(log)
    watch = asyncio.create_task(watch_log(log, known, note_read=reader.note_read, interval_s=0.01))
    await eventually(lambda: reader.proven > 2)
    assert reader.proven < reader.read
    watch.cancel()


async def test_in_a_topic_that_was_made_anew_nothing_more_is_proven(log_address: str) -> None:
    log, reader = LogConnection(log_address), Reader()
    await create_topics(log, TopicSettings())
    known = await read_identity(log)
    reader.read = 5
    await prove_read(log, known, note_read=reader.note_read)
    assert reader.proven == 5
    await make_webhooks_anew(log)
    reader.read = 9
    await prove_read(log, known, note_read=reader.note_read)
    assert reader.proven == 5
    assert "was made anew" in await watch_log(log, known, note_read=reader.note_read, interval_s=0.01)
    assert reader.proven == 5
