"""A Faust app on a log: an agent consumes raw values and forwards them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import faust
import pytest
from aiokafka import AIOKafkaProducer

from tests.broker.admin import create_topics
from tests.broker.reading import read_values

pytestmark = pytest.mark.both_logs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Faust's own, on current Pythons
async def test_agent_forwards_what_it_consumes(log_address: str, producer: AIOKafkaProducer, tmp_path: Path) -> None:
    await create_topics(log_address, "words", "shouts", partitions=2)
    app = faust.App(
        "shouting",
        broker=f"kafka://{log_address}",
        value_serializer="raw",
        web_enabled=False,
        topic_disable_leader=True,
        datadir=str(tmp_path),
    )
    words = app.topic("words", value_type=bytes, partitions=2)
    shouts = app.topic("shouts", value_type=bytes, partitions=2)

    @app.agent(words)  # type: ignore[untyped-decorator] # Faust has no types
    async def shout(stream: AsyncIterator[bytes]) -> None:
        async for word in stream:
            await shouts.send(value=word.upper())

    async with app:
        for word in (b"one", b"two", b"three"):
            await producer.send_and_wait("words", word)
        assert sorted(await read_values(log_address, "shouts", count=3)) == [b"ONE", b"THREE", b"TWO"]
