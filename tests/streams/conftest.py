"""What the stages' tests share: a log with its topics."""

from __future__ import annotations

import pytest

from postcall.log_connection import LogConnection
from postcall.topic_creation import create_topics
from postcall.topic_settings import TopicSettings
from tests.streams.log_contents import PARTITIONS


@pytest.fixture
async def log(log_address: str) -> str:
    """The address of an embedded log that has all topics."""
    await create_topics(LogConnection(log_address), TopicSettings(partitions=PARTITIONS))
    return log_address
